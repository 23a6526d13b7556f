"""Runs that are killed (SIGKILL) and go on with ``model.resume auto``: the end is bit-equal to an unbroken run's."""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.runs import results
from ccafl_plugin.utils import digests
from tests.runs.small_commands import results_of, saved, train
from tests.suites.small_suites import Forked

EPOCHS = 3
RANDOM_MOMENTS = 10


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing(owner: Any, name: str, number: int, behind: bool = False) -> Callable[[], None]:
    """Makes the process die at the call with this number, from 0, of ``owner.name``; ``behind``: after it."""

    def patch() -> None:
        original, calls = getattr(owner, name), itertools.count()

        def replaced(*arguments: Any, **named: Any) -> Any:
            here = next(calls) == number
            if here and not behind:
                kill()
            result = original(*arguments, **named)
            if here:
                kill()
            return result

        setattr(owner, name, replaced)

    return patch


CHOSEN = {
    "in the first iteration": killing(ImageCCAFLEngine, "_iterate", 0),
    "in the last iteration": killing(ImageCCAFLEngine, "_iterate", 2 * EPOCHS - 1),
    "after an epoch's last iteration": killing(ImageCCAFLEngine, "_iterate", 3, behind=True),
    "while a part is written": killing(digests._HashingStream, "write", 30),
    "before the renaming of the config file": killing(os, "replace", 0),
    "before the renaming of a part": killing(os, "replace", 4),
    "after the renaming of a part": killing(os, "replace", 5, behind=True),
    "before the renaming of a manifest": killing(os, "replace", 7),
    "while an old checkpoint is deleted": killing(Path, "unlink", 1, behind=True),
    "when the results are written": killing(results, "write", 0),
}


def cpu_seconds(process: int) -> float:
    """Processor time that a process has used; it says how far a run is, however busy the machine is."""
    numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def run(pictures: Path, folder: Path, patch: Callable[[], None] = lambda: None) -> Forked:
    def child() -> int:
        patch()
        return train(pictures, folder, "train.max_epoch", str(EPOCHS), "model.resume", "auto", "test.eval_freq", "2")

    folder.mkdir(exist_ok=True)
    return Forked(child, folder.parent / f"{folder.name}.txt")


@pytest.mark.slow  # forty short trainings: some two minutes of CPU time
def test_twenty_killed_runs_end_like_the_unbroken_one(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc to see how far a run is")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = run(pictures, tmp_path / "whole")
    whole.wait()
    assert whole.code == 0, (tmp_path / "whole.txt").read_text()
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    expected, scores = saved(tmp_path / "whole", EPOCHS), results_of(tmp_path / "whole")
    draw = random.Random(21)
    moments: dict[str, tuple[Callable[[], None], float]] = {name: (patch, 0.0) for name, patch in CHOSEN.items()}
    for number in range(RANDOM_MOMENTS):
        after = draw.uniform(0.0, seconds)
        moments[f"random moment {number + 1}, after {after / seconds:.0%} of the unbroken run's processor time"] = (
            lambda: None,
            after,
        )
    lines, equal = [], 0
    for number, (name, (patch, after)) in enumerate(moments.items()):
        folder = tmp_path / str(number)
        process = run(pictures, folder, patch)
        while after and process.poll() is None and cpu_seconds(process.pid) < after:
            time.sleep(0.002)
        if after and process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kept = sorted(path.name for path in folder.glob("checkpoint-*.json"))
        again = run(pictures, folder)
        again.wait()
        assert again.code == 0, (name, (tmp_path / f"{number}.txt").read_text())
        tensors = saved(folder, EPOCHS)
        assert tensors.keys() == expected.keys(), name
        assert not [key for key in expected if not torch.equal(tensors[key], expected[key])], name
        assert results_of(folder) == scores, name
        assert not list(folder.rglob("*.partial")), name
        ended = "killed" if process.code == -signal.SIGKILL else f"had ended with {process.code}"
        if not after:
            assert process.code == -signal.SIGKILL, name
        equal += 1
        lines.append(f"  {name}: {ended}; checkpoints then: {', '.join(kept) or 'none'}; resumed: bit-equal")
    with capsys.disabled():
        print(f"\n{equal} of {len(moments)} killed runs ended bit-equal to the unbroken one ({len(expected)} tensors)")
        print("\n".join(lines))
    assert equal == len(CHOSEN) + RANDOM_MOMENTS == 20
