"""Random weights within a moment: a model's 100 million numbers take seconds to draw, and no time depends on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

DRAWN = 65_521
"""Numbers that are drawn for a large tensor, which repeats them. A prime, so that rows of a matrix differ."""


@contextmanager
def repeated_draws() -> Iterator[None]:
    """Context in which ``normal_`` and ``uniform_`` fill large tensors with repeats; they still follow the seed."""
    with ExitStack() as stack:
        for name in ("normal_", "uniform_"):
            draw = getattr(torch.Tensor, name)
            stack.callback(setattr, torch.Tensor, name, draw)
            setattr(torch.Tensor, name, repeating(draw))
        yield


def repeating(draw: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A method that draws ``DRAWN`` numbers at most, and repeats them."""

    def fill(tensor: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
        if tensor.numel() <= DRAWN or not tensor.is_contiguous():
            return draw(tensor, *given, **named)
        drawn = draw(tensor.new_empty(DRAWN), *given, **named)
        with torch.no_grad():
            flat = tensor.view(-1)
            whole = len(flat) // DRAWN * DRAWN
            flat[:whole].view(-1, DRAWN).copy_(drawn)
            flat[whole:] = drawn[: len(flat) - whole]
        return tensor

    return fill
