"""Steps with gradients that are not finite are skipped and counted, without an extra wait for the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.engine.not_finite import NonFiniteGradient
from ccafl_plugin.utils.ranges import check_arguments


class GradientCheck:
    """Takes the optimizer's steps, and skips those with an infinite or NaN gradient.

    With a gradient scaler the verdict is the scaler's, else that of the gradients' total norm. On a GPU the verdict
    stays on the device: fused optimizers (Adam, AdamW, SGD) skip the step there, as ``GradScaler`` has them do, other
    optimizers step with gradients of zero. The host reads it with the losses of the next iteration (:attr:`verdict`).

    Args:
        model: names of parameters for the error.
        max_skipped: number of skipped steps in a row that are still allowed.

    Attributes:
        verdict: () float on the optimizer's device, above 0 if the last step was skipped; None before any step.
        skipped: number of skipped steps since :meth:`settle` was called.
    """

    def __init__(self, model: nn.Module, max_skipped: int) -> None:
        check_arguments(max_skipped=max_skipped)
        self.model = model
        self.max_skipped = max_skipped
        self.verdict: Tensor | None = None
        self.skipped = 0
        self._in_row = 0

    def step(self, optimizer: torch.optim.Optimizer, scaler: Any) -> None:
        """Takes a step unless a gradient is not finite.

        Args:
            optimizer: steps the model's parameters.
            scaler: gradient scaler of mixed precision, which has scaled the loss; it may be disabled.
        """
        if scaler.is_enabled():
            self.verdict = _scaled_step(optimizer, scaler)
            return
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if not gradients:
            optimizer.step()
            self.verdict = None
            return
        bad = torch.logical_not(total_norm(gradients).isfinite())
        self.verdict = bad.float()
        if bad.device.type == "cpu":
            if not bool(bad):
                optimizer.step()
        elif all(group.get("fused") for group in optimizer.param_groups):
            fused_step(optimizer, self.verdict)
        else:
            zero_if(bad, gradients)
            optimizer.step()

    def take(self, skipped: bool, epoch: int, iteration: int) -> None:
        """Takes note of the verdict of the last step, which the host has read.

        Args:
            skipped: whether it was skipped.
            epoch: number of the epoch, from 0.
            iteration: number of the present iteration in the epoch, from 0; its gradients are there.

        Raises:
            NonFiniteGradient: too many in a row.
        """
        self.verdict = None
        self.skipped += skipped
        self._in_row = self._in_row + 1 if skipped else 0
        if self._in_row > self.max_skipped:
            name = first_not_finite_gradient(self.model)
            raise NonFiniteGradient(
                f"{self._in_row} steps in a row were skipped, up to epoch {epoch}, iteration {iteration}, because "
                f"gradients are not finite; the first is that of {name}. The last checkpoint is not affected. Resume "
                "from it with ccafl.amp False, or start a new run with a lower train.lr (ccafl.max_skipped "
                f"{self.max_skipped})."
            )

    def settle(self, epoch: int, iteration: int) -> int:
        """Reads the last verdict of an epoch, which waits for the device.

        Returns:
            The number of skipped steps since the last call.

        Raises:
            NonFiniteGradient: see :meth:`take`.
        """
        if self.verdict is not None:
            self.take(bool(self.verdict > 0), epoch, iteration)
        skipped, self.skipped = self.skipped, 0
        return skipped


def _scaled_step(optimizer: torch.optim.Optimizer, scaler: Any) -> Tensor:
    """The scaler's step and its verdict. It tells a fused optimizer on the device, and does not call another one."""
    seen: list[Tensor | None] = []
    hook = optimizer.register_step_pre_hook(lambda stepped, *_: seen.append(getattr(stepped, "found_inf", None)))
    try:
        scaler.step(optimizer)
        scaler.update()
    finally:
        hook.remove()
    if not seen:
        return torch.ones(())
    return torch.zeros(()) if seen[0] is None else seen[0]


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """() float32, the norm of all gradients together; not finite if one of them is not."""
    if hasattr(torch.nn.utils, "get_total_norm"):  # from torch 2.6 on
        return torch.nn.utils.get_total_norm(gradients)
    norms = [torch.linalg.vector_norm(gradient.float()) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))


def zero_if(bad: Tensor, gradients: Sequence[Tensor]) -> None:
    """Sets gradients to zero in place if ``bad``, () bool on their device, is true; the host does not wait."""
    for gradient in gradients:
        gradient.copy_(torch.where(bad, torch.zeros_like(gradient), gradient))


def fused_step(optimizer: Any, found_inf: Tensor) -> None:
    """A step of a fused optimizer that does nothing if ``found_inf`` is 1, by the way that ``GradScaler`` uses.

    Args:
        optimizer: all of its groups are fused.
        found_inf: () float32 on the parameters' device.
    """
    optimizer.grad_scale, optimizer.found_inf = None, found_inf
    try:
        optimizer.step()
    finally:
        del optimizer.grad_scale, optimizer.found_inf


def first_not_finite_gradient(model: nn.Module) -> str:
    """The name of the first parameter whose gradient is infinite or NaN."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return repr(name)
    norms = {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}
    name = max(norms, key=lambda key: norms[key] if math.isfinite(norms[key]) else math.inf, default="")
    return f"none by itself; the largest is that of {name!r}"
