"""``model.resume auto``, two runs in one folder, and how a run ends before its end."""

from __future__ import annotations

import errno
import json
import multiprocessing
import multiprocessing.synchronize
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.engine import ImageCCAFLEngine, checkpoints
from ccafl_plugin.runs.endings import command, failure_line
from ccafl_plugin.utils import folder_lock
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.folder_lock import lock_folder, locked
from ccafl_plugin.utils.stopping import Stopped, Stopper, shielded
from tests.children import in_child
from tests.engine.small_runs import assert_equal
from tests.runs.small_commands import results_of, saved, train


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Calls a function in the middle of an iteration, counted over all epochs."""

    def set_up(iteration: int, act: Callable[[], object]) -> None:
        original, seen = ImageCCAFLEngine._iterate, []

        def iterate(self: ImageCCAFLEngine, data: Any) -> Any:
            seen.append(True)
            if len(seen) - 1 == iteration:
                act()
            return original(self, data)

        monkeypatch.setattr(ImageCCAFLEngine, "_iterate", iterate)

    return set_up


def test_a_finished_run_says_that_there_is_nothing_to_do(
    pictures: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in trained.rglob("*") if file.name != ".lock"}
    assert train(pictures, trained, "model.resume", "auto") == 0
    printed = capsys.readouterr()
    assert re.match(
        r"Nothing to do: the run in '[^\n]*' has finished its 2 epochs \(results\.json\)\. [^\n]*\n$", printed.out
    )
    assert printed.err == ""
    assert train(pictures, trained, "model.resume", "auto", "ccafl.terms.icdl.weight", "0.5") == 1
    assert re.match(
        r"error: model\.resume auto: the run in '[^\n]*' is finished, with other settings: ccafl\.terms\.icdl\.weight "
        r"0\.5 \(before 1\.0\)\. [^\n]*\n$",
        capsys.readouterr().err,
    )
    assert before == {file: file.stat().st_mtime_ns for file in trained.rglob("*") if file.name != ".lock"}


def test_ctrl_c_ends_after_the_iteration_and_auto_goes_on(
    pictures: Path, trained: Path, tmp_path: Path, at: Callable, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Begun with auto, broken off in the second epoch, gone on with the printed command: bit-equal to a whole run."""
    folder = tmp_path / "log"
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        at(2, lambda: signal.raise_signal(signal.SIGINT))
        code = train(pictures, folder, "model.resume", "auto")
        patch.undo()
    printed = capsys.readouterr()
    assert code == 130
    assert f"model.resume auto: there is no checkpoint in {str(folder)!r}, so the run begins.\n" in printed.out
    assert "epoch: [2/2][1/2]" not in printed.out  # torchreid prints it after the iteration
    line = printed.err.splitlines()[-1]
    assert re.match(
        r"stopped by Ctrl-C; the last checkpoint is \S+checkpoint-1\.json\. Go on with: \S+ .*--root ", line
    )
    assert line.endswith(f"data.save_dir {folder} model.resume auto")
    assert len([part for part in printed.err.splitlines() if "warn" not in part.lower()]) <= 2  # and "Ending after ..."
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not list(folder.rglob("*.partial"))
    (log,) = folder.glob("train.log-*")
    assert "Checkpoint saved" in log.read_text()
    monkeypatch.undo()
    assert train(pictures, folder, "model.resume", "auto") == 0
    assert f'Resumed from "{folder}", epoch 1' in capsys.readouterr().out
    assert_equal(saved(folder, 2), saved(trained, 2))
    assert results_of(folder) == results_of(trained)


def test_sigterm_in_the_last_iteration_of_an_epoch_saves_the_epoch(
    pictures: Path, tmp_path: Path, at: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    at(1, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(pictures, tmp_path) == 143
    assert "stopped by SIGTERM; the last checkpoint is" in capsys.readouterr().err
    assert [path.name for path in checkpoints.manifests(tmp_path)] == ["checkpoint-1.json"]


def test_a_second_signal_ends_at_once(
    pictures: Path, tmp_path: Path, at: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it went on")

    at(0, twice)
    assert train(pictures, tmp_path) == 143
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"stopped by SIGTERM; there is no checkpoint in {tmp_path} yet. Go on with: ")
    assert "model.resume" not in line


def test_signals_wait_for_shielded_work_only() -> None:
    done = []
    with pytest.raises(Stopped) as stopped, Stopper():
        with shielded(stop=False):
            with shielded():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("between")
        with shielded():
            done.append("the next work")
        done.append("never")
    assert done == ["inner", "outer", "between", "the next work"]
    assert (stopped.value.code, str(stopped.value)) == (143, "SIGTERM")
    with pytest.raises(Stopped) as stopped, Stopper():
        signal.raise_signal(signal.SIGINT)
    assert stopped.value.code == 130
    with shielded():
        pass


def test_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/ccafl-train"])
    assert (
        command(["--root", "my data", "train.lr", "1"], True)
        == "ccafl-train --root 'my data' train.lr 1 model.resume auto"
    )
    assert command(["train.lr", "1"], False) == "ccafl-train train.lr 1"
    assert command(["model.resume", "x", "ccafl.branch_from", "y", "use_gpu", "False"], True) == (
        "ccafl-train use_gpu False model.resume auto"
    )
    monkeypatch.setattr("sys.argv", ["tools/train.py"])
    assert re.match(r"python\S* tools/train\.py model\.resume auto$", command([], True))


def test_the_second_of_two_runs_in_a_folder_is_refused(
    pictures: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    shutil.copytree(trained, folder)
    before = sorted(path.name for path in folder.iterdir())
    descriptor = lock_folder(folder)
    assert train(pictures, folder, "model.resume", "auto") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(
        rf"error: data\.save_dir: another process is using \S+ \(process {os.getpid()} on \S+, [^\n]*\)\. Wait for it, "
        r"end it, or choose another folder\.\n$",
        printed.err,
    )
    assert sorted(path.name for path in folder.iterdir()) == before
    os.close(descriptor)
    assert train(pictures, folder, "model.resume", "auto") == 0  # the lock file is still there, and locks nothing


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """Also if it is killed, and if children of it live on; a lock may be taken twice by one process."""
    reader, writer = os.pipe()
    holder = os.fork()
    if holder == 0:
        with locked(tmp_path), locked(tmp_path):
            worker = os.fork()
            if worker == 0:  # a data worker that outlives the run
                os.close(reader)
                signal.pause()
            os.write(writer, str(worker).encode())
            signal.pause()
    worker = int(os.read(reader, 20))
    try:
        with pytest.raises(CCAFLError, match="another process is using"), locked(tmp_path):
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        with locked(tmp_path):
            assert len(folder_lock._held) == 1
        assert not folder_lock._held
    finally:
        os.kill(worker, signal.SIGKILL)  # it would keep the output of the tests open


def test_a_lock_that_the_parent_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a suite does."""
    descriptor = lock_folder(tmp_path)
    monkeypatch.setenv(folder_lock.INHERITED, str(descriptor))
    with locked(tmp_path):
        pass
    with locked(tmp_path / "other"):
        pass
    os.close(descriptor)


def test_a_program_is_refused_too(pictures: Path, tmp_path: Path) -> None:
    from tests.engine.small_runs import make_engine, make_terms

    descriptor = lock_folder(tmp_path)
    engine = make_engine(pictures, terms=make_terms({"proxy_classifier": (0, -1)}))
    with pytest.raises(CCAFLError, match="another process is using"):
        engine.run(save_dir=str(tmp_path), max_epoch=1)
    os.close(descriptor)


def test_a_killed_data_worker_is_one_line(
    pictures: Path, tmp_path: Path, at: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill_workers() -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
            child.join()

    at(0, kill_workers)
    pairs = ["data.workers", "1", "ccafl.iters_per_epoch", "40", "ccafl.extraction_memory", "0"]
    assert train(pictures, tmp_path, *pairs) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.match(
        r"error: a data worker was killed(?: by \w+)?, in most cases because the memory was full\. Set data\.workers "
        r"or train\.batch_size lower; there is no checkpoint in \S+ yet\. Go on with: ",
        line,
    )


def test_full_gpu_memory_is_one_line(
    pictures: Path, tmp_path: Path, at: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    def overflow() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has")

    at(0, overflow)
    assert train(pictures, tmp_path) == 1
    err = capsys.readouterr().err.splitlines()
    assert re.match(
        r"error: the GPU's memory is full\. Set ccafl\.gradient_checkpointing True, ccafl\.accumulation 2, or a "
        r"smaller train\.batch_size \(CUDA out of memory\); there is no checkpoint in \S+ yet\. Go on with: ",
        err[-1],
    )


def test_other_failures_are_one_line_with_a_remedy() -> None:
    for error, expected in (
        (OSError(errno.ENOSPC, "No space left on device", "log/x"), "the disk of 'log/x' is full. Free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk of 'log' is full. Free some space"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/1: file write failed"), "is full"),
        (OSError(errno.EROFS, "Read-only file system", "log/x"), "'log/x' can't be written or read: read-only file"),
        (MemoryError(), "the memory is full. Set data.workers"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "the memory is full. Set data.workers"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that"), "/dev/shm"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "a data worker was killed, in most cases"),
    ):
        line = failure_line(error, "log")
        assert line is not None and expected in line and "\n" not in line
    assert failure_line(RuntimeError("a fault of the program"), "log") is None
    assert failure_line(OSError(errno.ENOENT, "no file"), "log") is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT])
def test_shared_memory_that_cannot_be_written_is_not_the_runs_folder(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(multiprocessing.synchronize._multiprocessing, "SemLock", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        multiprocessing.get_context("fork").Queue()
    assert str(failure_line(error.value, "log")).startswith("a data worker found no room in shared memory (/dev/shm).")


def test_an_unknown_fault_keeps_its_traceback(pictures: Path, tmp_path: Path, at: Callable, capsys) -> None:
    def fault() -> None:
        raise KeyError("of the program")

    at(0, fault)
    assert train(pictures, tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "of the program" in line and f"its traceback is in {tmp_path / 'error.txt'}" in line
    written = (tmp_path / "error.txt").read_text()
    assert written.startswith("Traceback") and "in fault" in written and "KeyError: 'of the program'" in written
    with locked(tmp_path):  # and the lock is free again
        pass


def test_no_training_touches_the_network(pictures: Path, tmp_path: Path) -> None:
    """Every socket is refused, in a process of its own: training, test, results and TensorBoard's file."""

    def run() -> None:
        import socket

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a training opened a socket")

        socket.socket.__init__ = refuse  # type: ignore[method-assign]
        socket.getaddrinfo = socket.create_connection = refuse  # type: ignore[assignment]
        assert train(pictures, tmp_path, "train.max_epoch", "1") == 0

    in_child(run)
    assert json.loads((tmp_path / "results.json").read_text())["epochs"] == 1
