"""One of two processes fails: all end soon, with one line, and the last checkpoint is whole."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.config import default_config
from ccafl_plugin.engine import ImageCCAFLEngine, checkpoints
from ccafl_plugin.runs import building, torchrun
from ccafl_plugin.utils import stopping
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.folder_lock import locked
from tests.pages import REPOSITORY
from tests.ranks import Ranks
from tests.runs.small_commands import arguments, train

LIMIT = 30
"""Seconds from the failure to the end of all processes."""


def at_call(number: int, owner: Any, name: str, replace: Callable[..., Any]) -> None:
    """Lets ``replace`` take the place of a function at its call with this number, from 0."""
    original, calls = getattr(owner, name), itertools.count()

    def replaced(*given: Any, **named: Any) -> Any:
        return replace(original, *given, **named) if next(calls) == number else original(*given, **named)

    setattr(owner, name, replaced)


def raise_error(*_: Any, **__: Any) -> None:
    raise RuntimeError("the data are gone")


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "a-file")


def kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def not_a_number(original: Callable[..., Any], engine: ImageCCAFLEngine, data: dict[str, Any]) -> Any:
    return original(engine, {**data, "img": data["img"] * float("nan")})


FAILURES = {
    "an exception": (1, (3, ImageCCAFLEngine, "_iterate", raise_error), "the data are gone (RuntimeError) in tests."),
    "SIGKILL": (0, (3, ImageCCAFLEngine, "_iterate", kill), "another process of the run has ended (killed, if"),
    "a full disk": (0, (1, checkpoints, "save", full_disk), "the disk of 'a-file' is full."),
    "a loss that is not finite": (1, (3, ImageCCAFLEngine, "_iterate", not_a_number), "The loss "),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_all_end_with_one_line(failure: str, few_pictures: Path, tmp_path: Path) -> None:
    """In the second epoch; the first one's checkpoint stays."""
    rank_that_fails, (call, owner, name, replace), words = FAILURES[failure]
    folder = tmp_path / "log"

    def noted(*given: Any, **named: Any) -> Any:
        (tmp_path / "failed").touch()
        return replace(*given, **named)

    def command(rank: int) -> None:
        if rank == rank_that_fails:
            at_call(call, owner, name, noted)
        raise SystemExit(train(few_pictures, folder, "train.max_epoch", "3"))

    ranks = Ranks(2, command, tmp_path)
    ranks.end(200)
    seconds = time.time() - (tmp_path / "failed").stat().st_mtime
    print(f"{failure}: {seconds:.1f} s")
    assert seconds < LIMIT
    assert all(ranks.codes), ranks.codes
    outputs = [ranks.output(rank) for rank in range(2)]
    (line,) = [line for text in outputs for line in text.splitlines() if line.startswith("error: ")]
    assert words in line, outputs
    if failure == "an exception":
        assert line.endswith("(process 1 of 2)")
    if failure == "SIGKILL":  # the command at the end of the line can be copied
        assert "no reason) (process 1 of 2); the last checkpoint is" in line and line.endswith(" model.resume auto")
    assert "Traceback" not in "".join(outputs)
    assert checkpoints.load(folder)[0]["epoch"] == 1
    assert not list(folder.rglob("*.partial"))
    torch.load(folder / "model" / "model.pth.tar-1", weights_only=True)


def test_a_second_run_in_the_folder_is_refused_in_one_line(few_pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with locked(folder):
        ranks = Ranks(2, lambda _: exec_train(few_pictures, folder), tmp_path)
        ranks.end(200)
    assert ranks.codes == [1, 1]
    text = "".join(map(ranks.output, range(2)))
    assert text.count("error: ") == text.count("data.save_dir: another process is using") == 1


def test_settings_that_differ_are_refused_in_one_line(few_pictures: Path, tmp_path: Path) -> None:
    """As on two machines, on one of which somebody has forgotten a setting."""

    def command(rank: int) -> None:
        folder = tmp_path / f"log-{rank}"  # machines may have their own names for folders
        raise SystemExit(train(few_pictures, folder, "ccafl.iters_per_epoch", str(2 + rank)))

    ranks = Ranks(2, command, tmp_path)
    assert ranks.end(200) < LIMIT
    assert ranks.codes == [2, 2]
    (line,) = [line for rank in range(2) for line in ranks.output(rank).splitlines() if line.startswith("error: ")]
    assert line == (
        "error: process 1 of 2 has ccafl.iters_per_epoch 3, but process 0 has 2. Start all with the same arguments and "
        "the same data."
    )


@pytest.mark.parametrize("wrong", ["a port that is taken", "no address"])
def test_a_group_that_cannot_be_made_is_one_line(
    wrong: str, few_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = {"RANK": "0", "WORLD_SIZE": "2"}
        if wrong == "a port that is taken":
            given |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1])}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        assert train(few_pictures, tmp_path / "log") == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith(
        "error: the environment says that this is process 0 of 2 (RANK, WORLD_SIZE), but their group"
    )
    assert ("EADDRINUSE" if wrong == "a port that is taken" else "MASTER_ADDR expected") in line
    assert line.endswith("with another --master_port if its port is taken, or unset both to train in one process.")


def test_more_processes_than_gpus_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    config = default_config()
    config.loss.name = "ccafl"
    for name, value in {"num_processes": lambda: 4, "check_alike": lambda _: None}.items():
        monkeypatch.setattr(torchrun, name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    torchrun.check_processes(config)
    for given in ({"LOCAL_WORLD_SIZE": "3"}, {"LOCAL_RANK": "2"}):
        with monkeypatch.context() as patched:
            for name, value in given.items():
                patched.setenv(name, value)
            with pytest.raises(CCAFLError, match=r"there are 3 processes on this machine, more than its .*_node=2, or"):
                torchrun.check_processes(config)
            config.use_gpu = False
            torchrun.check_processes(config)
            config.use_gpu = True


@pytest.mark.parametrize(("here", "device"), [(2, [1]), (1, [])])  # with a single GPU: refused later, in one line
def test_a_process_takes_the_gpu_of_its_number(here: int, device: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: here)
    monkeypatch.setattr(torch.cuda, "set_device", called.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: called.append(backend))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: called.append("end"))
    assert torchrun.run_in_group(lambda: called.append("run") or 0) == 0
    assert called == [*device, "cpu:gloo,cuda:nccl", "run", "end"]


@pytest.mark.parametrize(
    ("processes", "given", "threads"), [(2, {}, 3), (1, {}, 7), (2, {"OMP_NUM_THREADS": "1"}, None)]
)
def test_processes_of_a_machine_share_its_cores(
    processes: int, given: dict[str, str], threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in {"LOCAL_WORLD_SIZE": "2", **given}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torchrun, "num_processes", lambda: processes)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    found: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    torchrun.use_threads(workers=1)
    assert found == ([] if threads is None else [threads])


def test_one_process_says_how_to_use_all_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    building.print_other_gpus(torch.device("cuda"))
    assert capsys.readouterr().out.startswith("3 GPUs are visible, and this run uses one. To use all: torchrun --nproc")
    building.print_other_gpus(torch.device("cpu"))
    monkeypatch.setattr(building, "num_processes", lambda: 3)
    building.print_other_gpus(torch.device("cuda"))
    assert capsys.readouterr().out == ""


def exec_train(few_pictures: Path, folder: Path, *pairs: str) -> None:
    raise SystemExit(train(few_pictures, folder, *pairs))


def test_torchreids_own_engines_are_refused(few_pictures: Path, tmp_path: Path) -> None:
    ranks = Ranks(2, lambda _: exec_train(few_pictures, tmp_path / "log", "loss.name", "softmax"), tmp_path)
    ranks.end(200)
    assert ranks.codes == [2, 2]
    text = "".join(map(ranks.output, range(2)))
    assert text.count("error: loss.name: torchreid's engine of softmax trains in one process.") == 1


def test_a_signal_ends_a_process_that_waits_inside_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "LAST_RESORT", 0.5)

    def wait(rank: int) -> None:
        if rank:
            time.sleep(60)
        with stopping.Stopper(last_resort=True):
            child = os.fork()  # as a data worker, that is ended before
            if child == 0:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            os.waitpid(child, 0)
            time.sleep(1)
            (tmp_path / "waiting").touch()
            torch.distributed.all_reduce(torch.ones(1))

    ranks = Ranks(2, wait, tmp_path)
    (waiting, _), (sleeping, _) = ranks.children
    deadline = time.monotonic() + 100
    while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(waiting, signal.SIGTERM)
    started = time.monotonic()
    while Path(f"/proc/{waiting}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() - started < LIMIT
        time.sleep(0.05)
    os.kill(sleeping, signal.SIGKILL)
    ranks.end()
    assert ranks.codes == [143, -signal.SIGKILL]


@pytest.mark.slow  # two imports of torch beside each other take half a minute on two cores
def test_torchrun_itself(few_pictures: Path, tmp_path: Path) -> None:
    given = arguments(few_pictures, tmp_path / "log", "train.max_epoch", "1")
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "tools/train.py", *given]
    paths = {**os.environ, "PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(line, cwd=REPOSITORY, env=paths, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Trains with: 2 processes, 4 x 2 images together") == 1
    assert done.stdout.count("** Results **") == 1 and "Checkpoint saved" in done.stdout
    assert (tmp_path / "log" / "weights.safetensors").is_file()
    wrong = subprocess.run([*line, "model.resume", "auto", "train.seed", "7"], cwd=REPOSITORY, env=paths,
                           capture_output=True, text=True, timeout=300)  # fmt: skip
    assert wrong.returncode == 1
    assert wrong.stderr.count("model.resume auto: the run in") == 1


PROGRAM = """
import os, pathlib, signal, sys, time
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.runs.train_command import main

how, noted, iterate = os.environ["HOW"], pathlib.Path(os.environ["NOTED"]), ImageCCAFLEngine._iterate

def fail(engine, data):
    if os.environ["RANK"] == "1" and engine.epoch == 1:
        noted.touch()
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("the data are gone")
    return iterate(engine, data)

ImageCCAFLEngine._iterate = fail
sys.exit(main())
"""


@pytest.mark.slow  # as above
@pytest.mark.parametrize("how", ["error", "kill"])
def test_torchrun_ends_what_is_left(how: str, few_pictures: Path, tmp_path: Path) -> None:
    program, noted = tmp_path / "program.py", tmp_path / "noted"
    program.write_text(PROGRAM)
    given = arguments(few_pictures, tmp_path / "log", "train.max_epoch", "3")
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", str(program), *given]
    paths = {**os.environ, "PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "lo", "HOW": how, "NOTED": str(noted)}
    done = subprocess.run(line, cwd=REPOSITORY, env=paths, capture_output=True, text=True, timeout=300)
    seconds = time.time() - noted.stat().st_mtime
    print(f"{how}: {seconds:.1f} s")
    assert done.returncode == 1 and seconds < LIMIT
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert ("the data are gone" if how == "error" else "another process of the run has ended") in said
    assert checkpoints.load(tmp_path / "log")[0]["epoch"] == 1
