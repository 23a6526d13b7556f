"""What processes send each other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from ccafl_plugin.utils import distributed
from ccafl_plugin.utils.errors import CCAFLError
from tests.ranks import in_ranks


def sent(rank: int, folder: Path) -> None:
    """All of it in one group, since a group takes a while."""
    for count in (1, 2, 3, 7):
        rows = torch.arange(2 * count).view(count, 2)
        own = rows[distributed.own_share(count)]
        whole = distributed.gather_rows(own if len(own) else None, count, torch.device("cpu"))
        assert torch.equal(whole, rows) and whole.dtype == rows.dtype
    assert [len(range(size)[distributed.own_images(size)]) for size in (5, 6)] == [5, 2]

    assert distributed.from_first(lambda: ("of", rank)) == ("of", 0)
    assert distributed.from_all(rank) == [0, 1, 2]
    with pytest.raises(CCAFLError, match="only in process 0"):
        distributed.from_first(lambda: refuse(rank))

    def write() -> bool:
        there = (folder / "file").exists()
        if rank == 0:
            time.sleep(0.2)
            (folder / "file").touch()
        return there

    assert distributed.first_then_others(write) == (rank > 0)

    tensors = [torch.full((2, 3), float(rank)).t(), torch.tensor(rank > 0), torch.tensor(rank)]
    distributed.send_tensors(tensors)
    assert not any(bool(tensor.any()) for tensor in tensors)

    model = nn.Sequential(nn.BatchNorm1d(2), nn.SyncBatchNorm(2), nn.BatchNorm1d(2, track_running_stats=False))
    for norm in model[:2]:
        norm.running_mean.fill_(rank)
    distributed.average_statistics(model)
    assert model[0].running_mean.tolist() == [1, 1] and model[1].running_mean.tolist() == [rank, rank]
    assert model[0].running_var.tolist() == [1, 1]
    with distributed.quiet_unless_first():
        print("printed")


def refuse(rank: int) -> None:
    raise CCAFLError(f"only in process {rank}")


def test_three_processes(tmp_path: Path) -> None:
    in_ranks(3, lambda rank: sent(rank, tmp_path), tmp_path)
    outputs = [(tmp_path / f"out-{rank}.txt").read_text() for rank in range(3)]
    assert [text.count("printed") for text in outputs] == [1, 0, 0]


def test_one_process_sends_nothing() -> None:
    rows = torch.ones(3, 2)
    assert distributed.gather_rows(rows, 3) is rows
    assert distributed.from_first(lambda: 5) == 5 and distributed.from_all(5) == [5]
    assert distributed.own_share(4) == slice(0, 4, 1) and distributed.own_images(1) == slice(0, 1, 1)
    distributed.send_tensors([rows])
    distributed.average_statistics(nn.BatchNorm1d(2))
    assert torch.equal(rows, torch.ones(3, 2))
