"""What a run trains with, read off what runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from ccafl_plugin.engine import ccafl_engine
from ccafl_plugin.engine.effective_settings import EffectiveSettings, batch_norm_kind, effective_settings_of
from ccafl_plugin.models.joined_norms import SyncNeckBatchNorm, join_batch_norms
from tests.engine.small_runs import make_engine, make_terms

PLAIN = EffectiveSettings(1, 1, 128, 8, 3.5e-4, "BatchNorm", "mixed float16")


def engine(model: nn.Module, sampler: Any = None, **facts: Any) -> SimpleNamespace:
    loader = DataLoader(range(8), batch_size=4, sampler=sampler or RandomSampler(range(8)))
    optimizer = torch.optim.SGD([{"params": model.parameters(), "lr": 0.5}], lr=0.1)
    return SimpleNamespace(model=model, optimizer=optimizer, train_loader=loader, **facts)


class Pairs(RandomSampler):
    num_instances = 2


def test_what_is_read_off_an_engine() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    assert effective_settings_of(engine(model)) == EffectiveSettings(1, 1, 4, 0, 0.5, "BatchNorm", "float32")
    made = engine(nn.DataParallel(model), Pairs(range(8)), encoder=SimpleNamespace(dtype=torch.bfloat16))
    made.model.device_ids = [0, 1, 2]
    torch.optim.lr_scheduler.LambdaLR(made.optimizer, lambda epoch: 0.01)
    assert made.optimizer.param_groups[-1]["lr"] == 0.005
    assert effective_settings_of(made) == EffectiveSettings(1, 3, 4, 2, 0.5, "BatchNorm", "mixed bfloat16")


@pytest.mark.parametrize("wanted", [True, False])
def test_batch_norms_are_joined_before_they_are_read(
    wanted: bool, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def join(model: nn.Module, device: torch.device, is_wanted: bool) -> None:
        assert device.type == "cpu" and is_wanted == wanted
        join_batch_norms(model)

    monkeypatch.setattr(ccafl_engine, "join_if_shared", join)
    made = make_engine(pictures, terms=make_terms({"inter": (0, -1)}), sync_batch_norm=wanted)
    assert made.history.effective_settings.norm == "SyncBatchNorm"
    assert sum(isinstance(each, SyncNeckBatchNorm) for each in made.model.modules()) == 1


def test_world_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    assert effective_settings_of(engine(nn.Linear(2, 2))).processes == 4


class FrozenBatchNorm2d(nn.Module):
    """As torchvision and open_clip have it: no parameters."""


def test_kinds_of_batch_norm() -> None:
    plain, other = nn.BatchNorm2d(2), nn.BatchNorm1d(2, affine=False)
    frozen = nn.BatchNorm2d(2).requires_grad_(False)
    assert batch_norm_kind(nn.Linear(1, 1)) == "none"
    assert batch_norm_kind(nn.Sequential(plain, other, nn.LayerNorm(2))) == "BatchNorm"
    assert batch_norm_kind(nn.Sequential(plain, nn.SyncBatchNorm(2))) == "SyncBatchNorm"
    assert batch_norm_kind(nn.Sequential(frozen, FrozenBatchNorm2d())) == "frozen BatchNorm"
    assert batch_norm_kind(nn.Sequential(plain, FrozenBatchNorm2d())) == "partly frozen BatchNorm"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (PLAIN, "Trains with: 1 process, 16 x 8 images, lr 0.00035, BatchNorm, mixed float16"),
        (
            EffectiveSettings(1, 2, 32, 0, 5e-6, "none", "float32"),
            "Trains with: 1 process on 2 GPUs, 32 images, lr 5e-06, no BatchNorm, float32",
        ),
        (
            EffectiveSettings(4, 1, 8, 4, 1.0, "SyncBatchNorm", "float32"),
            "Trains with: 4 processes, 2 x 4 images together, lr 1, SyncBatchNorm, float32",
        ),
    ],
)
def test_one_line(settings: EffectiveSettings, line: str) -> None:
    assert str(settings) == line


def test_a_second_line_for_what_differs() -> None:
    assert PLAIN.compared("Tan", "mixed float16", []).differences == ()
    assert str(PLAIN.compared("Tan", "mixed float16", [])) == str(PLAIN)
    other = EffectiveSettings(2, 4, 128, 8, 3.5e-4, "frozen BatchNorm", "float32").compared(
        "Tan", "mixed float16", ["train.lr 1 instead of 2"]
    )
    assert str(other).splitlines()[1] == (
        "Differs from the published settings (Tan): train.lr 1 instead of 2, processes 2 instead of 1, "
        "GPUs per process 4 instead of 1, batch norm frozen BatchNorm instead of BatchNorm, "
        "precision float32 instead of mixed float16"
    )
    assert PLAIN.compared("Tan", "float32", []).differences == ("precision mixed float16 instead of float32",)


def test_what_differed_before_a_resumption_still_counts() -> None:
    first = PLAIN.compared("Tan", "float32", ["train.lr 1 instead of 2"])
    second = PLAIN.compared("Tan", "mixed float16", ["train.gamma 1 instead of 2"]).going_on_from(first.as_dict())
    assert second.differences == (
        "train.gamma 1 instead of 2",
        "train.lr 1 instead of 2 before it was resumed",
        "precision mixed float16 instead of float32 before it was resumed",
    )
    third = PLAIN.going_on_from(second.as_dict())
    assert third.published == "Tan"
    assert third.differences == tuple(
        difference.removesuffix(" before it was resumed") + " before it was resumed"
        for difference in second.differences
    )
    assert second.going_on_from(first.as_dict()) == second
    assert PLAIN.going_on_from({}) == PLAIN


def test_the_largest_of_batches_of_several_sizes() -> None:
    class Several(Pairs):
        batch_size = 6

    batches = BatchSampler(Several(range(8)), 6, drop_last=True)
    made = engine(nn.Linear(2, 2))
    made.train_loader = DataLoader(range(8), batch_sampler=batches)
    assert made.train_loader.batch_size is None
    assert (effective_settings_of(made).batch_size, effective_settings_of(made).instances) == (6, 2)
