"""Learning rates: schedules with a linear warm-up, and parameter groups with biases at their own rate. Fused steps.

Epochs are counted from 0. A schedule multiplies the learning rate of every parameter group by the same factor, so
biases keep their own multiple of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ccafl_plugin.errors import CCAFLError


def warmup_multi_step_factor(
    epoch: int, milestones: Sequence[int], gamma: float, warmup_epochs: int, warmup_factor: float
) -> float:
    """Learning rate in ``epoch`` as a fraction of the base rate: warm-up, then ``gamma`` per milestone reached.

    Args:
        epoch: from 0.
        milestones: epochs from which on the rate is multiplied once more by ``gamma``; any order.
        gamma: factor per milestone.
        warmup_epochs: W; in epoch e < W the factor is ``warmup_factor + (1 - warmup_factor) e / W``, milestones or not.
        warmup_factor: factor in epoch 0.
    """
    if epoch < warmup_epochs:
        return _warmup(epoch, warmup_epochs, warmup_factor)
    return gamma ** bisect_right(sorted(milestones), epoch)


def warmup_cosine_factor(
    epoch: int, max_epoch: int, warmup_epochs: int, warmup_factor: float, final_factor: float
) -> float:
    """Learning rate in ``epoch`` as a fraction of the base rate: warm-up, then a half cosine over all epochs.

    Args:
        epoch: from 0; behind ``max_epoch`` the factor stays at ``final_factor``.
        max_epoch: E; from epoch W on the factor is ``final_factor + (1 - final_factor) (1 + cos(pi e / E)) / 2``.
        warmup_epochs: W; in epoch e < W the factor is ``warmup_factor + (1 - warmup_factor) e / W``.
        warmup_factor: factor in epoch 0.
        final_factor: factor that epoch E would have.
    """
    if epoch < warmup_epochs:
        return _warmup(epoch, warmup_epochs, warmup_factor)
    progress = min(epoch / max_epoch, 1.0)
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * progress)) / 2


def _warmup(epoch: int, warmup_epochs: int, warmup_factor: float) -> float:
    return warmup_factor + (1 - warmup_factor) * epoch / warmup_epochs


@dataclass
class WarmupMultiStep:
    """:func:`warmup_multi_step_factor` of an epoch. ``LambdaLR`` saves its fields; of a lambda, nothing."""

    milestones: tuple[int, ...]
    gamma: float
    warmup_epochs: int
    warmup_factor: float

    def __call__(self, epoch: int) -> float:
        return warmup_multi_step_factor(epoch, **vars(self))


@dataclass
class WarmupCosine:
    """:func:`warmup_cosine_factor` of an epoch; see :class:`WarmupMultiStep`."""

    max_epoch: int
    warmup_epochs: int
    warmup_factor: float
    final_factor: float

    def __call__(self, epoch: int) -> float:
        return warmup_cosine_factor(epoch, **vars(self))


def warmup_multi_step(
    optimizer: Optimizer,
    milestones: Sequence[int],
    gamma: float = 0.1,
    warmup_epochs: int = 10,
    warmup_factor: float = 0.01,
) -> LambdaLR:
    """Scheduler of :func:`warmup_multi_step_factor`, stepped once per epoch. Defaults: paper, Sec. IV-B.

    Raises:
        CCAFLError: ``milestones`` is not a list of epochs.
    """
    if isinstance(milestones, (str, bytes)) or not isinstance(milestones, Sequence):
        raise CCAFLError(f"warmup_multi_step: stepsize must be a list of epochs such as [40, 50], not {milestones!r}.")
    factor = WarmupMultiStep(tuple(milestones), gamma, warmup_epochs, warmup_factor)
    return LambdaLR(optimizer, factor)


def warmup_cosine(
    optimizer: Optimizer,
    max_epoch: int,
    warmup_epochs: int = 10,
    warmup_factor: float = 0.01,
    final_factor: float = 0.0,
) -> LambdaLR:
    """Scheduler of :func:`warmup_cosine_factor`, stepped once per epoch.

    Raises:
        CCAFLError: ``max_epoch`` is not positive.
    """
    if max_epoch <= 0:
        raise CCAFLError(f"warmup_cosine: max_epoch must be positive, not {max_epoch!r}.")
    factor = WarmupCosine(max_epoch, warmup_epochs, warmup_factor, final_factor)
    return LambdaLR(optimizer, factor)


def is_bias(name: str) -> bool:
    """Whether a parameter of this name, as ``named_parameters`` gives it, is a bias (``in_proj_bias`` is one too)."""
    return name.rpartition(".")[2].endswith("bias")


def parameter_groups(model: nn.Module, lr: float, bias_lr_factor: float = 2.0) -> list[dict[str, Any]]:
    """Trainable parameters of a model as an optimizer's groups: biases at a multiple of the rate, then weights.

    Weights come last because torchreid reports the last group's rate as *the* learning rate.

    Args:
        model: parameters with ``requires_grad=False`` are left out.
        lr: learning rate of the weights.
        bias_lr_factor: learning rate of the biases as a multiple of ``lr``; 2 in the paper's experiments.

    Returns:
        One or two groups (none is empty), each with ``params``, ``lr`` and ``name``.

    Raises:
        CCAFLError: the model has no trainable parameter.
    """
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not trainable:
        raise CCAFLError("build_optimizer: the model has no trainable parameter. Unfreeze some of its layers.")
    biases = [parameter for name, parameter in trainable if is_bias(name)]
    weights = [parameter for name, parameter in trainable if not is_bias(name)]
    groups = [
        {"params": biases, "lr": lr * bias_lr_factor, "name": "biases"},
        {"params": weights, "lr": lr, "name": "weights"},
    ]
    return [group for group in groups if group["params"]]


_CARRIED_OUT_BY = ("foreach", "fused", "capturable")
"""Entries of a parameter group that say how a step is carried out, not what it computes."""


def fuse_steps(optimizer: Optimizer, device_types: Sequence[str] = ("cuda",)) -> bool:
    """Lets an optimizer step in one kernel where torch has one: Adam, AdamW and SGD with all parameters on a GPU.

    Beside being faster, such a step reads on the device whether ``GradScaler`` found a gradient to be infinite; for any
    other the host waits for the whole backward pass. Calling it twice is harmless.

    Args:
        optimizer: changed in place; its state, if it has any, goes where such a step expects it.
        device_types: where parameters may lie. Steps on CPUs stay as they were, they would round differently.

    Returns:
        Whether the optimizer's steps are fused now.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    fitting = all(parameter.device.type in device_types and parameter.is_floating_point() for parameter in parameters)
    known = isinstance(optimizer, (Adam, AdamW, SGD)) and all("fused" in group for group in optimizer.param_groups)
    if not (fitting and known):
        return False
    for group in optimizer.param_groups:
        group.update(fused=True, foreach=False)
    optimizer._step_supports_amp_scaling = True  # what the constructor sets for fused=True; GradScaler asks for it
    load_state(optimizer, optimizer.state_dict())
    return True


def load_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """``optimizer.load_state_dict``, except that a step is carried out as before, whatever machine saved the state.

    Args:
        optimizer: takes over the state, e.g. moments, and each group's settings, e.g. its learning rate.
        state: of an optimizer with the same groups; left alone.

    Raises:
        ValueError: other groups.
    """
    saved, own = state["param_groups"], optimizer.param_groups
    if len(saved) == len(own):  # otherwise load_state_dict says so
        kept = [{key: group[key] for key in _CARRIED_OUT_BY if key in group} for group in own]
        state = {**state, "param_groups": [{**group, **keep} for group, keep in zip(saved, kept, strict=True)]}
    optimizer.load_state_dict(state)
