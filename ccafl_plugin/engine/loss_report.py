"""The losses of an iteration: the values to differentiate, and their transfer from the device to the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ccafl_plugin.engine.not_finite import NonFiniteLoss
from ccafl_plugin.terms import Term


def weighted_losses(parts: Mapping[str, Mapping[str, Tensor]], terms: Sequence[Term]) -> list[Tensor]:
    """Each part that has a graph, times its term's weight; training differentiates their sum, the total loss.

    Args:
        parts: the parts of each term, () floats.
        terms: the terms.
    """
    return [term.weight * part for term in terms for part in parts[term.name].values() if part.requires_grad]


class LossReport:
    """The parts of all terms, sent to the host in one transfer.

    The transfer starts when this object is created, before the backward pass is queued; :meth:`read` waits for it. If
    it is read after the backward pass is queued, the host waits only for the forward pass, while the device continues.

    Args:
        parts: the parts of each term, () floats.
        losses: the weighted losses; their sum is reported as ``loss``.
        verdict: () float on any device, above 0 if the step before was skipped; None if there is none to report.

    Attributes:
        skipped: what the verdict says; known after :meth:`read`, None without a verdict.
    """

    def __init__(
        self, parts: Mapping[str, Mapping[str, Tensor]], losses: Sequence[Tensor], verdict: Tensor | None = None
    ) -> None:
        self._names = [f"{term}/{part}" for term, values in parts.items() for part in values]
        values = [value for group in parts.values() for value in group.values()]
        stacked = [value.detach().float() for value in (*values, *losses)] or [torch.zeros(())]
        self.skipped: bool | None = None
        self._verdict = verdict if verdict is not None and verdict.device.type == "cpu" else None
        self._has_verdict = verdict is not None and self._verdict is None
        if verdict is not None and self._has_verdict:
            stacked.append(verdict.detach().float().reshape(()))
        self._values = torch.stack(stacked)
        self._arrived: torch.cuda.Event | None = None
        if self._values.is_cuda:
            stream = torch.cuda.current_stream(self._values.device)
            self._values = self._values.to("cpu", non_blocking=True)  # into pinned memory
            self._arrived = torch.cuda.Event()
            self._arrived.record(stream)

    def read(self) -> dict[str, float]:
        """``loss`` and every part as ``TERM/PART``. The host waits only here in an iteration."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers = self._values.tolist()
        if self._has_verdict:
            self.skipped = numbers.pop() > 0
        elif self._verdict is not None:
            self.skipped = bool(self._verdict > 0)
        return {"loss": sum(numbers[len(self._names) :]), **dict(zip(self._names, numbers, strict=False))}


def check_finite(numbers: Mapping[str, float], epoch: int, iteration: int) -> None:
    """Stops a run that has diverged.

    Args:
        numbers: see :meth:`LossReport.read`.
        epoch: number of the epoch, from 0.
        iteration: number of the iteration in the epoch, from 0.

    Raises:
        NonFiniteLoss: a part is infinite or NaN.
    """
    for name, number in numbers.items():
        if name != "loss" and not math.isfinite(number):
            raise NonFiniteLoss(
                f"The loss {name} is {number} in epoch {epoch}, iteration {iteration}. The last checkpoint is not "
                "affected. Resume from it with ccafl.amp False, or start a new run with a lower train.lr."
            )
