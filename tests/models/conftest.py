"""A small model with repeatable random weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ccafl_plugin.models import ClipReID, build_clip
from ccafl_plugin.options import options

SIZE = (64, 32)


@pytest.fixture
def build_tiny() -> Callable[..., ClipReID]:
    """``build_tiny(loss=..., seed=..., size=...)``: clip_tiny for 64x32 images."""

    def build(loss: str = "ccafl", num_classes: int = 4, seed: int = 0, size: tuple[int, int] = SIZE) -> ClipReID:
        torch.manual_seed(seed)
        with options.override(input_size=size):
            return build_clip("clip_tiny", num_classes, loss, pretrained=False)

    return build


@pytest.fixture
def tiny(build_tiny: Callable[..., ClipReID]) -> ClipReID:
    return build_tiny()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))
