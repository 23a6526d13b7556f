"""Stage 1's schedule, its loss from epoch to epoch, and what a prompt learns from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ccafl_plugin.engine.stage1 import PromptStage, learn_prompts


def test_learning_rate_of_the_paper() -> None:
    stage = PromptStage()
    assert stage.learning_rate(0) == pytest.approx(1e-5)
    assert stage.learning_rate(1) == pytest.approx(7.8e-5)
    assert stage.learning_rate(4) == pytest.approx(2.82e-4)
    assert stage.learning_rate(30) == pytest.approx(1.755e-4)  # half of the cosine: (3.5e-4 + 1e-6) / 2
    assert stage.learning_rate(59) == pytest.approx(1e-6 + 3.49e-4 * (1 - 0.9986295347545738) / 2)
    assert all(stage.learning_rate(e) > stage.learning_rate(e + 1) for e in range(5, 59))


class TablePrompts(nn.Module):
    """Text features that are themselves the parameters, so that a step can be followed by hand."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(count, dim, generator=torch.Generator().manual_seed(3)) * 0.1)
        self.asked: list[torch.Tensor] = []

    def forward(self, prompts: torch.Tensor, text_encoder: None) -> torch.Tensor:
        self.asked.append(prompts)
        return self.table[prompts]


def learn(stage: PromptStage, cameras: torch.Tensor | None, seed: int = 1) -> tuple[TablePrompts, list[float]]:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(7).repeat_interleave(5)
    images = torch.randn(7, 6, generator=rng)[labels] + 0.1 * torch.randn(35, 6, generator=rng)
    prompts, losses = TablePrompts(7, 6), []
    learn_prompts(prompts, None, images, labels, cameras, stage, seed, lambda e, loss, lr, s: losses.append(loss))
    return prompts, losses


def test_an_epoch_is_every_image_once_the_last_short_batch_included() -> None:
    prompts, _ = learn(PromptStage(epochs=2, batch_size=16), None)
    assert [len(batch) for batch in prompts.asked] == [16, 16, 3] * 2
    for epoch in (prompts.asked[:3], prompts.asked[3:]):
        assert torch.equal(torch.cat(epoch).sort().values, torch.arange(7).repeat_interleave(5))
    assert not torch.equal(torch.cat(prompts.asked[:3]), torch.cat(prompts.asked[3:]))


def test_the_loss_falls_and_a_seed_repeats() -> None:
    stage = PromptStage(epochs=40, batch_size=35, lr=0.05, warmup_epochs=0)
    first, losses = learn(stage, None)
    floor = 2 * math.log(5)  # five images are each other's positives and share the probability
    assert floor < losses[-1] < floor + 0.25 * (losses[0] - floor)
    assert torch.equal(first.table, learn(stage, None)[0].table)
    assert not torch.equal(first.table, learn(PromptStage(epochs=40, batch_size=16, lr=0.05), None, seed=2)[0].table)


def test_cameras_keep_comparisons_apart() -> None:
    """With one identity per camera there is nothing to tell apart: the loss is 0 from the start."""
    labels = torch.arange(7).repeat_interleave(5)
    losses = learn(PromptStage(epochs=1, batch_size=35), labels)[1]
    positives_only = learn(PromptStage(epochs=1, batch_size=35), None)[1]
    uniform = 2 * 7 * math.log(5)  # five images of one identity, all of them positives of each other
    assert losses[0] == pytest.approx(uniform, rel=0.1)
    assert positives_only[0] < losses[0]
