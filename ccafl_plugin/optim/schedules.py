"""Learning-rate schedules with a linear warm-up.

Epochs are counted from 0. A schedule multiplies the learning rate of every parameter group by the same factor, so
biases keep their own multiple of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.paper_values import WARMUP_EPOCHS, WARMUP_FACTOR


def warmup_multi_step_factor(
    epoch: int, milestones: Sequence[int], gamma: float, warmup_epochs: int, warmup_factor: float
) -> float:
    """Learning rate in ``epoch`` as a fraction of the base rate: warm-up, then times ``gamma`` at each milestone.

    Args:
        epoch: from 0.
        milestones: epochs at which the rate is multiplied by ``gamma``; in any order.
        gamma: factor per milestone.
        warmup_epochs: W; in epoch e < W the factor is ``warmup_factor + (1 - warmup_factor) e / W``, regardless of
            milestones.
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
        epoch: from 0; after ``max_epoch`` the factor stays at ``final_factor``.
        max_epoch: E; from epoch W on the factor is ``final_factor + (1 - final_factor) (1 + cos(pi e / E)) / 2``.
        warmup_epochs: W; in epoch e < W the factor is ``warmup_factor + (1 - warmup_factor) e / W``.
        warmup_factor: factor in epoch 0.
        final_factor: factor that epoch E would have.
    """
    if epoch < warmup_epochs:
        return _warmup(epoch, warmup_epochs, warmup_factor)
    return half_cosine(1.0, final_factor, min(epoch / max_epoch, 1.0))


def half_cosine(start: float, end: float, progress: float) -> float:
    """Value between ``start`` (progress 0) and ``end`` (progress 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _warmup(epoch: int, warmup_epochs: int, warmup_factor: float) -> float:
    return warmup_factor + (1 - warmup_factor) * epoch / warmup_epochs


@dataclass
class WarmupMultiStep:
    """:func:`warmup_multi_step_factor` as a callable. ``LambdaLR`` saves its fields; it would not save a lambda."""

    milestones: tuple[int, ...]
    gamma: float
    warmup_epochs: int
    warmup_factor: float

    def __call__(self, epoch: int) -> float:
        return warmup_multi_step_factor(epoch, **vars(self))


@dataclass
class WarmupCosine:
    """:func:`warmup_cosine_factor` as a callable; see :class:`WarmupMultiStep`."""

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
    warmup_epochs: int = WARMUP_EPOCHS,
    warmup_factor: float = WARMUP_FACTOR,
) -> LambdaLR:
    """Creates a scheduler from :func:`warmup_multi_step_factor`, stepped once per epoch. Defaults: paper, Sec. IV-B.

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
    warmup_epochs: int = WARMUP_EPOCHS,
    warmup_factor: float = WARMUP_FACTOR,
    final_factor: float = 0.0,
) -> LambdaLR:
    """Creates a scheduler from :func:`warmup_cosine_factor`, stepped once per epoch.

    Raises:
        CCAFLError: ``max_epoch`` is not positive.
    """
    if max_epoch <= 0:
        raise CCAFLError(f"warmup_cosine: max_epoch must be positive, not {max_epoch!r}.")
    factor = WarmupCosine(max_epoch, warmup_epochs, warmup_factor, final_factor)
    return LambdaLR(optimizer, factor)


class FollowingRate:
    """Keeps the learning rate of one optimizer at a multiple of another's, whatever schedule that one has.

    Where a run's schedule is shortened and its rate raised, what learns beside the encoder is as fast as before.

    Args:
        optimizer: whose groups all get the rate.
        leader: whose last group's rate is followed: of the encoder, that of the weights.
        factor: the multiple, above 0.

    Raises:
        CCAFLError: the factor is not above 0.
    """

    def __init__(self, optimizer: Optimizer, leader: Optimizer, factor: float = 1.0) -> None:
        if not 0 < factor < math.inf:
            raise CCAFLError(f"FollowingRate: the factor must be a number above 0, not {factor!r}.")
        self.optimizer, self.leader, self.factor = optimizer, leader, factor
        self.step()

    def step(self) -> None:
        """Takes the leader's rate of now; to be called after its own schedule has moved it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.factor * self.leader.param_groups[-1]["lr"]

    def state_dict(self) -> dict[str, Any]:
        """What was chosen; the rate itself is the leader's."""
        return {"factor": self.factor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on behind a checkpoint, whose leader has been loaded before."""
        self.factor = state["factor"]
        self.step()
