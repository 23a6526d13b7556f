"""CLIP's attention pooling of a batch, forward and backward."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.row import Row
from ccafl_plugin.models.attention_pooling import pool_by_attention


class Problem(NamedTuple):
    pooling: nn.Module
    feature_map: Tensor  # (B, D, h, w), a leaf
    gradient: Tensor  # (B, E) of the loss by v


def prepare(images: int, width: int, device: str) -> Problem:
    """RN50's (width 2048, 32 heads, E = 1024) on maps of 16 x 8, with random weights."""
    from open_clip.modified_resnet import AttentionPool2d

    torch.manual_seed(0)
    pooling = AttentionPool2d(1, width, width // 64, width // 2)
    pooling.positional_embedding = nn.Parameter(torch.randn(1 + 16 * 8, width) / width**0.5)
    feature_map = torch.randn(images, width, 16, 8).relu().contiguous(memory_format=torch.channels_last)
    feature_map = feature_map.to(device).requires_grad_()
    return Problem(pooling.to(device), feature_map, torch.randn(images, width // 2).to(device))


def step(problem: Problem, pooled: Tensor) -> dict[str, Tensor]:
    inputs = {"map": problem.feature_map, **dict(problem.pooling.named_parameters())}
    gradients = torch.autograd.grad(pooled, [*inputs.values()], problem.gradient)
    return {"v": pooled, **dict(zip(inputs, gradients, strict=True))}


def ours(problem: Problem) -> dict[str, Tensor]:
    pooling = problem.pooling
    return step(problem, pool_by_attention(pooling, problem.feature_map, pooling.positional_embedding))


ROW = Row(
    name="attention_pooling",
    title="v from the last map of RN50, 256 x 128, 128 images, forward and backward",
    usual_title="open_clip's AttentionPool2d",
    sizes={"full": {"images": 128, "width": 2048}, "quick": {"images": 2, "width": 128}},
    prepare=prepare,
    usual=lambda problem: step(problem, problem.pooling(problem.feature_map)),
    ours=ours,
    tolerance=1e-4,
    on_gpu=True,
)
