"""Full disks: small file systems of four sizes, in memory. One line, nothing half written, the last one whole."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ccafl_plugin.engine import checkpoints
from tests.runs.small_commands import train


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of some kilobytes; needs root, and a kernel that allows it."""
    mounted: list[Path] = []

    def mount(kilobytes: int) -> Path:
        place = tmp_path / f"disk-{kilobytes}"
        place.mkdir()
        if shutil.which("mount") is None:
            pytest.skip("there is no mount command")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(("kilobytes", "whole"), [(4, 0), (600, 0), (1400, 1), (2000, 2)])
def test_a_checkpoint_that_does_not_fit(kilobytes: int, whole: int, disk: Callable[[int], Path]) -> None:
    """Checkpoints of 800 kB, of which three would be kept."""
    folder = disk(kilobytes)
    finished = 0
    with pytest.raises(OSError) as full:
        for epoch in range(1, 6):
            parts = {
                name: {"state_dict": {"w": torch.full((100_000,), float(epoch))}, "epoch": epoch, "rank1": 0.5}
                for name in ("model", "prompts")
            }
            checkpoints.save(folder, parts, {"architecture": "a"}, keep=3)
            finished = epoch
    assert full.value.errno == errno.ENOSPC
    assert finished == whole
    assert not list(folder.rglob("*.partial"))
    assert len(checkpoints.manifests(folder)) == whole
    if whole:
        assert checkpoints.load(folder)[0]["epoch"] == whole


@pytest.mark.slow  # four trainings: some fifteen seconds of CPU time
@pytest.mark.parametrize(("kilobytes", "least", "most"), [(8, 0, 0), (2_000, 0, 0), (12_000, 1, 1), (20_000, 1, 3)])
def test_a_run_on_a_disk_that_fills(
    kilobytes: int,
    least: int,
    most: int,
    disk: Callable[[int], Path],
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = disk(kilobytes) / "log"
    code = train(pictures, folder, "train.max_epoch", "4", "ccafl.keep", "3")
    printed = capsys.readouterr()
    assert code == 1
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in printed.err
    assert "No space left on device" in errors[0] or "is full. Free some space" in errors[0]
    assert not list(folder.rglob("*.partial"))
    found = checkpoints.manifests(folder)
    assert least <= len(found) <= most
    if found:
        assert checkpoints.load(folder)[0]["epoch"] == checkpoints.epoch_of(found[-1])
        assert "Checkpoint saved" in next(folder.glob("train.log-*")).read_text()
    with capsys.disabled():
        print(f"\n{kilobytes} kB: one line, exit status 1, {len(found)} whole checkpoints left")
