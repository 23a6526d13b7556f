"""Whether an optimizer and its schedule are those that a checkpoint was trained with.

Loading an optimizer's state overrules the settings of this run, and some schedules do too; nobody would notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from torch.optim import Optimizer

_PLAIN = ("WarmupMultiStep", "WarmupCosine", "LambdaLR", "StepLR", "MultiStepLR", "CosineAnnealingLR", "FollowingRate")
"""Schedules that move the learning rate and nothing else; torchreid's and this package's are of these kinds."""

_OF_GROUPS = ("weight_decay", "momentum", "dampening", "nesterov", "betas", "eps", "alpha", "centered", "amsgrad")

_OF_SCHEDULES = ("gamma", "step_size", "milestones", "T_max", "eta_min", "factor")

_USERS_WORDS = {"initial_lr": "lr", "milestones": "stepsize", "step_size": "stepsize", "T_max": "max_epoch"}


def settings_that_differ(optimizer: Optimizer, scheduler: Any, saved: Mapping[str, Any], own_rate: bool) -> str:
    """In what a saved optimizer and its schedule are not those of this run.

    Args:
        optimizer: of this run.
        scheduler: of this run; None without one. Of other than plain schedules only the kind is compared, they may
            move anything.
        saved: of a checkpoint's part: ``optimizer``, and if there was one ``scheduler`` and ``schedule``, its kind.
        own_rate: whether without a scheduler nobody changes the learning rate during a run.

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


def kind_of(scheduler: Any) -> str:
    """The class of a scheduler, or of the factor that it multiplies rates by; ``none`` without one."""
    factor = next(iter(getattr(scheduler, "lr_lambdas", [])), None)
    if scheduler is None:
        return "none"
    return type(scheduler).__name__ if factor is None or isinstance(factor, FunctionType) else type(factor).__name__


def _settings(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What was chosen, without what is counted; a schedule of this package keeps it in its factor."""
    factor = next(iter(state.get("lr_lambdas", [])), None) or {}
    for key, value in {**{key: state[key] for key in _OF_SCHEDULES if key in state}, **factor}.items():
        several = isinstance(value, (Counter, list, tuple))
        yield key, sorted(Counter(value).elements()) if several else value
