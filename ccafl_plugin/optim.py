"""Learning rates: schedules with a linear warm-up, and parameter groups with biases at their own rate.

Epochs are counted from 0. A schedule multiplies the learning rate of every parameter group by the same factor, so
biases keep their own multiple of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
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
    steps = tuple(milestones)
    return LambdaLR(
        optimizer, lambda epoch: warmup_multi_step_factor(epoch, steps, gamma, warmup_epochs, warmup_factor)
    )


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
    return LambdaLR(
        optimizer, lambda epoch: warmup_cosine_factor(epoch, max_epoch, warmup_epochs, warmup_factor, final_factor)
    )


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
