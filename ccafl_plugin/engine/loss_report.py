"""An iteration's numbers on their way from the device to the log."""

from __future__ import annotations

import torch
from torch import Tensor


class LossReport:
    """The parts of all terms, sent to the host in one transfer.

    The transfer starts when this object is made, before the backward pass is queued, and is waited for in :meth:`read`.
    Read after the backward pass is queued, it stops the host until the forward pass is done, while the device goes on.

    Args:
        parts: per term its parts, () floats.
        losses: what is differentiated, weights applied; their sum is reported as ``loss``.
    """

    def __init__(self, parts: dict[str, dict[str, Tensor]], losses: list[Tensor]) -> None:
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
