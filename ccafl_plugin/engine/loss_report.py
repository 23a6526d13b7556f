"""An iteration's losses: what is differentiated, and their numbers on the way from the device to the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ccafl_plugin.terms import Term


class NonFiniteLoss(RuntimeError):
    """A loss became infinite or NaN; the message names the term, its part, epoch and iteration."""


def weighted_losses(parts: Mapping[str, Mapping[str, Tensor]], terms: Sequence[Term]) -> list[Tensor]:
    """What is differentiated: every part that has a graph, times its term's weight; their sum is the total loss.

    Args:
        parts: per term its parts, () floats.
        terms: whose parts they are.
    """
    return [term.weight * part for term in terms for part in parts[term.name].values() if part.requires_grad]


class LossReport:
    """The parts of all terms, sent to the host in one transfer.

    The transfer starts when this object is made, before the backward pass is queued, and is waited for in :meth:`read`.
    Read after the backward pass is queued, it stops the host until the forward pass is done, while the device goes on.

    Args:
        parts: per term its parts, () floats.
        losses: what is differentiated, weights applied; their sum is reported as ``loss``.
    """

    def __init__(self, parts: Mapping[str, Mapping[str, Tensor]], losses: Sequence[Tensor]) -> None:
        self._names = [f"{term}/{part}" for term, values in parts.items() for part in values]
        values = [value for group in parts.values() for value in group.values()]
        self._values = torch.stack([value.detach().float() for value in (*values, *losses)] or [torch.zeros(())])
        self._arrived: torch.cuda.Event | None = None
        if self._values.is_cuda:
            stream = torch.cuda.current_stream(self._values.device)
            self._values = self._values.to("cpu", non_blocking=True)  # into pinned memory
            self._arrived = torch.cuda.Event()
            self._arrived.record(stream)

    def read(self) -> dict[str, float]:
        """``loss`` and every part by ``TERM/PART``. The only place of an iteration at which the host waits."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers = self._values.tolist()
        return {"loss": sum(numbers[len(self._names) :]), **dict(zip(self._names, numbers, strict=False))}


def check_finite(numbers: Mapping[str, float], epoch: int, iteration: int) -> None:
    """Stops a run that has diverged.

    Args:
        numbers: see :meth:`LossReport.read`.
        epoch: from 0.
        iteration: of the epoch, from 0.

    Raises:
        NonFiniteLoss: a part is infinite or NaN.
    """
    for name, number in numbers.items():
        if name != "loss" and not math.isfinite(number):
            raise NonFiniteLoss(
                f"The loss {name} is {number} in epoch {epoch}, iteration {iteration}; the last checkpoint is "
                "untouched. Going on from it with ccafl.amp False may help, or beginning anew with a lower train.lr."
            )
