"""Features of cameras with a tint each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def unit(row: Sequence[float]) -> list[float]:
    """Scaled to length 1; zeros stay zeros."""
    length = math.sqrt(math.fsum(x * x for x in row))
    return [x / length for x in row] if length else list(row)


def draw(images: int, dim: int, cameras: int, seed: int) -> tuple[Tensor, Tensor]:
    """(M, D) float64, and (M,) the camera of each."""
    rng = torch.Generator().manual_seed(seed)
    camera = torch.randint(cameras, (images,), generator=rng)
    tint = 3 * torch.randn(cameras, dim, generator=rng, dtype=torch.float64)
    return tint[camera] + torch.randn(images, dim, generator=rng, dtype=torch.float64), camera
