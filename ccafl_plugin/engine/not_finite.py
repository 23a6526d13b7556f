"""Errors of runs that have diverged, and the search for numbers that are not finite in what would be saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


class Diverged(RuntimeError):
    """Training cannot go on, because something is infinite or NaN. The message is one line."""


class NonFiniteLoss(Diverged):
    """A loss is infinite or NaN; the message names the term, its part, the epoch and the iteration."""


class NonFiniteGradient(Diverged):
    """Too many steps in a row were skipped; the message names a parameter whose gradient is infinite or NaN."""


class NonFiniteState(Diverged):
    """The state of a run is infinite or NaN and was not saved; the message names the part and the tensor."""


def check_state(parts: Mapping[str, Mapping[str, Any]], finished_epochs: int) -> None:
    """Refuses to save a state with an infinite or NaN number. On a GPU it waits once.

    Args:
        parts: for each part its ``state_dict`` and, if it is trained, its ``optimizer``.
        finished_epochs: number of finished epochs.

    Raises:
        NonFiniteState: there is such a number.
    """
    named = [(f"{part}/{name}", tensor) for part, state in parts.items() for name, tensor in _tensors(state)]
    found = first_not_finite(named)
    if found is not None:
        raise NonFiniteState(
            f"{found} is not finite after {finished_epochs} epochs, so no checkpoint was written. The last checkpoint "
            "is not affected. Resume from it with ccafl.amp False, or start a new run with a lower train.lr."
        )


def first_not_finite(named: list[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor with an infinite or NaN number; None if there is none."""
    by_device: dict[torch.device, list[tuple[str, Tensor]]] = {}
    for name, tensor in named:
        if tensor.is_floating_point() and tensor.numel():
            by_device.setdefault(tensor.device, []).append((name, torch.isfinite(tensor).all()))
    for flags in by_device.values():
        finite = torch.stack([flag for _, flag in flags]).tolist()
        for (name, _), is_finite in zip(flags, finite, strict=True):
            if not is_finite:
                return name
    return None


def _tensors(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """A part's weights and the moments of its optimizer."""
    yield from state["state_dict"].items()
    for number, moments in state.get("optimizer", {}).get("state", {}).items():
        for name, value in moments.items():
            if isinstance(value, Tensor):
                yield f"optimizer {name} of parameter {number}", value
