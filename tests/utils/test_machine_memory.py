"""One copy of the kept images for all processes of a machine, and copies of their own where that is impossible."""

from __future__ import annotations

import os
import pickle
import signal
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch
import torch.multiprocessing  # makes the pickler take tensors

from ccafl_plugin.utils import machine_memory
from ccafl_plugin.utils.distributed import from_all, own_share
from ccafl_plugin.utils.machine_memory import MachineBytes
from tests.ranks import Ranks, in_ranks

SHAPE = (7, 3, 2)
EXPECTED = torch.arange(42, dtype=torch.uint8).view(SHAPE)


def filled() -> tuple[bool, bool, bool]:
    """Fills the process's share: whether all rows are right, memory is shared, and a later write of one is seen."""
    memory = MachineBytes(SHAPE)
    memory.rows[own_share(SHAPE[0])] = EXPECTED[own_share(SHAPE[0])]
    memory.complete()
    right = torch.equal(memory.rows, EXPECTED)
    from_all(None)
    if own_share(SHAPE[0]).start == 0:
        memory.rows[0] = 99
    from_all(None)
    return right, memory.is_shared, bool((memory.rows[0] == 99).all())


def left_files(folder: Path) -> list[str]:
    return [each.name for each in folder.glob("ccafl-images-*")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of shared memory."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(machine_memory, "SHARED_MEMORY", str(folder))
    return folder


@pytest.mark.parametrize("world", [2, 3])
def test_processes_of_a_machine_share_one_copy(world: int, tmp_path: Path, folder: Path) -> None:
    assert in_ranks(world, lambda _: filled(), tmp_path / "run") == [(True, True, True)] * world
    assert left_files(folder) == []


def test_machines_send_their_rows_to_each_other(tmp_path: Path, folder: Path) -> None:
    def on_machine(rank: int) -> tuple[bool, bool, bool]:
        machine_memory.platform.node = lambda: f"machine-{rank // 2}"  # ranks 0 and 1, and rank 2
        return filled()

    assert in_ranks(3, on_machine, tmp_path / "run") == [(True, True, True), (True, True, True), (True, False, False)]
    assert left_files(folder) == []


@pytest.mark.parametrize("kind", ["no folder", "no room", "no function", "not opened"])
def test_without_shared_memory_each_has_its_own(
    kind: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    if kind == "no folder":
        folder.rmdir()
    if kind == "no room":
        monkeypatch.setattr(os, "posix_fallocate", full)
    if kind == "no function":
        monkeypatch.delattr(os, "posix_fallocate")

    def run(rank: int) -> tuple[bool, bool, bool]:
        if kind == "not opened" and rank == 1:
            machine_memory._mapped = lambda *_: None
        return filled()

    assert in_ranks(2, run, tmp_path / "run") == [(True, False, True), (True, False, False)]
    assert left_files(folder) == []


def test_containers_of_one_name_have_memory_of_their_own(tmp_path: Path, folder: Path) -> None:
    """As two containers on the network of one host: the same name, and /dev/shm of each."""
    other = tmp_path / "shm of the other"
    other.mkdir()
    mapped = machine_memory._mapped

    def run(rank: int) -> tuple[bool, bool, bool]:
        if rank == 1:
            machine_memory._mapped = lambda file, size: mapped(file and str(other / Path(file).name), size)
        return filled()

    assert in_ranks(2, run, tmp_path / "run") == [(True, False, True), (True, False, False)]
    assert left_files(folder) == left_files(other) == []


@pytest.mark.parametrize("at", ["names", "opening"])
def test_nothing_is_left_when_another_process_dies(at: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def broken(value: object) -> list[object]:
        calls.append(value)
        if len(calls) == (2 if at == "names" else 3):
            assert left_files(folder)
            raise RuntimeError("Connection closed by peer")
        return [value, value]

    monkeypatch.setattr(machine_memory, "from_all", broken)
    with pytest.raises(RuntimeError, match="closed"):
        MachineBytes(SHAPE)
    assert left_files(folder) == []


def test_shared_rows_can_be_sent_to_other_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As to data workers that are not forked; these get a copy."""
    monkeypatch.setattr(machine_memory, "from_all", lambda value: [value, value])
    memory = MachineBytes(SHAPE)
    memory.rows[:] = EXPECTED
    assert memory.is_shared
    assert torch.equal(pickle.loads(ForkingPickler.dumps(memory.rows)), EXPECTED)


def test_nothing_is_left_of_a_killed_process(tmp_path: Path, folder: Path) -> None:
    def run(rank: int) -> None:
        MachineBytes(SHAPE)
        from_all(None)
        os.kill(os.getpid(), signal.SIGKILL)

    ranks = Ranks(2, run, tmp_path / "run")
    ranks.end()
    assert left_files(folder) == []


def test_a_single_process_has_memory_of_its_own() -> None:
    memory = MachineBytes(SHAPE)
    memory.rows[:] = EXPECTED
    memory.complete()
    assert torch.equal(memory.rows, EXPECTED)
