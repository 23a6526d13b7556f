"""Training computes each of the method's losses by the function or class that bears its name, and by nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ccafl_plugin import losses
from ccafl_plugin.engine.stage1 import PromptStage
from ccafl_plugin.terms import TERMS, Batch, EpochState, Setup
from tests.engine.test_stage1 import learn
from tests.losses.problems import labels, unit_rows

SIZES, BATCH, DIM = [3, 4, 2], 16, 6  # three cameras' proxies


def loss_of(name: str) -> Tensor:
    """What the engine differentiates of a term, on random features."""
    torch.manual_seed(0)
    images = torch.cat([torch.arange(sum(SIZES)), labels(30, sum(SIZES), seed=2)])
    state = EpochState(
        epoch=0,
        features=unit_rows(len(images), DIM, seed=3).float(),
        proxies=images,
        pseudo_of_proxy=torch.tensor([0, 1, 2, 0, 1, -1, 3, 0, 3]),
        text=unit_rows(sum(SIZES), 4, seed=4).float(),
        seed=1,
    )
    proxies = labels(BATCH, sum(SIZES), seed=5)
    features = unit_rows(BATCH, DIM, seed=6).float().requires_grad_()
    embeddings = unit_rows(BATCH, 4, seed=7).float().requires_grad_()
    batch = Batch((features,), features, embeddings, logits=(), proxies=proxies, classes=proxies)
    term, needed = TERMS[name](), [TERMS[need]() for need in TERMS[name].needs]
    camera_of_proxy = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    known: Any = SimpleNamespace(
        proxies_per_camera=SIZES, num_proxies=sum(SIZES), camera_of_proxy=camera_of_proxy, num_cameras=len(SIZES)
    )
    for each in (*needed, term):
        each.bind(Setup(known, sum(SIZES), DIM, torch.device("cpu"), 1, {other.name: other for other in needed}))
        each.refresh(state)
    term.step_own(batch)
    parts = term.loss(batch).values()
    return torch.stack([part for part in parts if part.requires_grad] or list(parts)).sum()


def learned_loss() -> Tensor:
    """Of the first epoch of stage 1."""
    return torch.tensor(learn(PromptStage(epochs=1), None)[1])


NAMED = {
    "prompt_contrast": ["stage 1"],
    "camera_contrast": ["icdl"],
    "instance_contrast": ["icdl"],
    "centroid_triplet": ["icdl"],
    "batch_hard_triplet": ["icdl", "inter"],
    "text_alignment": ["icdl", "alignment"],
    "cluster_contrast": ["inter"],
    "ICDLLoss": ["icdl"],
    "InterCameraLoss": ["inter"],
    "ProxyClassifier": ["proxy_classifier"],
    "ICALLoss": ["ical"],
}
HELPERS = {"group_means", "unit_group_means", "positive_proxies", "HybridMemory", "ClusterMemory"}
RESULTS = {"ICDLComponents", "InterComponents"}


def test_every_loss_is_here() -> None:
    assert set(NAMED) | HELPERS | RESULTS == set(losses.__all__)


def times_hundred(function: Callable[..., Any]) -> Callable[..., Any]:
    def larger(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return result._replace(total=100 * result.total) if hasattr(result, "total") else 100 * result

    return larger


def multiply(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class's ``forward``, or a function wherever the package has imported it, gives a hundred times as much."""
    named = getattr(losses, name)
    if isinstance(named, type):
        monkeypatch.setattr(named, "forward", times_hundred(named.forward))
        return
    larger = times_hundred(named)
    for module in [module for key, module in sys.modules.items() if key.startswith("ccafl_plugin")]:
        for attribute, value in list(vars(module).items()):
            if value is named:
                monkeypatch.setattr(module, attribute, larger)


@pytest.mark.parametrize(("name", "trained"), [(name, term) for name, terms in NAMED.items() for term in terms])
def test_training_calls_it(name: str, trained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss() -> Tensor:
        return learned_loss() if trained == "stage 1" else loss_of(trained)

    before = loss()
    assert torch.equal(loss(), before)
    multiply(name, monkeypatch)
    assert (loss() > 1.5 * before).all()
