"""One of two processes fails: all end soon, with one line, and the last checkpoint is whole."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.engine import ImageCCAFLEngine, checkpoints
from ccafl_plugin.utils import stopping
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
