"""Compares an optimizer and its schedule with those of a checkpoint.

Loading the state of an optimizer, and of some schedules, silently overrides the settings of this run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

_PLAIN = ("WarmupMultiStep", "WarmupCosine", "LambdaLR", "StepLR", "MultiStepLR", "CosineAnnealingLR", "FollowingRate")
"""Schedules that change only the learning rate; torchreid's and this package's schedules are of these classes."""

_OF_GROUPS = ("weight_decay", "momentum", "dampening", "nesterov", "betas", "eps", "alpha", "centered", "amsgrad")

_OF_SCHEDULES = ("gamma", "step_size", "milestones", "T_max", "eta_min", "factor")

_MARKS = {"betas", "amsgrad", "momentum", "dampening", "alpha", "centered"}
"""Settings by which optimizers can be told apart; a checkpoint does not name their class."""

_USERS_WORDS = {"initial_lr": "lr", "milestones": "stepsize", "step_size": "stepsize", "T_max": "max_epoch"}


def settings_that_differ(optimizer: Optimizer, scheduler: Any, saved: Mapping[str, Any], own_rate: bool) -> str:
    """The differences between a saved optimizer and schedule and those of this run.

    Args:
        optimizer: optimizer of this run.
        scheduler: schedule of this run; None without one. Of schedules that are not in ``_PLAIN`` only the class is
            compared, because they may change any setting.
        saved: a part of a checkpoint: ``optimizer``, and with a schedule also ``scheduler`` and ``schedule``, its
            class.
        own_rate: True if the learning rate is constant without a schedule.

    Returns:
        E.g. ``lr 0.00035 instead of 0.0001``; empty if there is no difference.
    """
    pairs: dict[str, tuple[Any, Any]] = {}
    kind = kind_of(scheduler)
    saved_kind = saved.get("schedule", kind if "scheduler" in saved else "none")
    if saved_kind != kind:
        pairs["schedule"] = (saved_kind, kind)
    keys = ["initial_lr"] if scheduler is not None else ["lr"] * own_rate
    keys += _OF_GROUPS if kind in ("none", *_PLAIN) else ["weight_decay"]
    theirs_marks, ours_marks = (
        _MARKS & set().union(*(group.keys() for group in each))
        for each in (saved["optimizer"]["param_groups"], optimizer.param_groups)
    )
    if theirs_marks != ours_marks:
        return f"an optimizer with {_listed(theirs_marks)} instead of one with {_listed(ours_marks)}"
    groups = zip(saved["optimizer"]["param_groups"], optimizer.param_groups, strict=False)
    for theirs, ours in reversed(list(groups)):  # the weights' group is the last one
        for key in keys:
            if key in theirs and key in ours and theirs[key] != ours[key]:
                pairs.setdefault(key, (theirs[key], ours[key]))
    if scheduler is not None and "schedule" not in pairs:
        theirs, ours = (dict(_settings(state)) for state in (saved.get("scheduler", {}), scheduler.state_dict()))
        pairs |= {key: (theirs[key], ours[key]) for key in ours if key in theirs and theirs[key] != ours[key]}
    return ", ".join(
        f"{_USERS_WORDS.get(key, key)} {theirs} instead of {ours}" for key, (theirs, ours) in pairs.items()
    )


def misfit(optimizer: Optimizer, saved: Mapping[str, Any]) -> str:
    """What of an optimizer's saved state does not fit its parameters; empty if all fits.

    Args:
        optimizer: optimizer of this run.
        saved: its saved ``state_dict``.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, moments in saved["state"].items():
        if number >= len(parameters):
            return f"a state of {number + 1} parameters instead of {len(parameters)}"
        shape = tuple(parameters[number].shape)
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.ndim and tuple(value.shape) != shape:
                return f"{name} of shape {tuple(value.shape)} instead of {shape}"
    return ""


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none of these"


def kind_of(scheduler: Any) -> str:
    """The class of a scheduler, or of the factor that it multiplies rates by; ``none`` without one."""
    factor = next(iter(getattr(scheduler, "lr_lambdas", [])), None)
    if scheduler is None:
        return "none"
    return type(scheduler).__name__ if factor is None or isinstance(factor, FunctionType) else type(factor).__name__


def _settings(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a schedule without its counters; this package's schedules store them in their factor."""
    factor = next(iter(state.get("lr_lambdas", [])), None) or {}
    for key, value in {**{key: state[key] for key in _OF_SCHEDULES if key in state}, **factor}.items():
        several = isinstance(value, (Counter, list, tuple))
        yield key, sorted(Counter(value).elements()) if several else value
