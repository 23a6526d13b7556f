"""Optimizer steps in one GPU kernel, and optimizer states that can be loaded on another machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer

_CARRIED_OUT_BY = ("foreach", "fused", "capturable")
"""Entries of a parameter group that control how a step is executed, not what it computes."""


def fuse_steps(optimizer: Optimizer, device_types: Sequence[str] = ("cuda",)) -> bool:
    """Makes an optimizer step in one kernel if torch supports it: Adam, AdamW and SGD with all parameters on a GPU.

    A fused step is faster. It also checks on the device whether ``GradScaler`` found an infinite gradient; for other
    steps the host waits for the whole backward pass. Calling this function twice is harmless.

    Args:
        optimizer: changed in place; an existing state is moved to the device that a fused step needs.
        device_types: devices on which steps are fused. CPU steps are not fused, because they would round differently.

    Returns:
        True if the optimizer's steps are fused now.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    fitting = all(parameter.device.type in device_types and parameter.is_floating_point() for parameter in parameters)
    known = isinstance(optimizer, (Adam, AdamW, SGD)) and all("fused" in group for group in optimizer.param_groups)
    if not (fitting and known):
        return False
    for group in optimizer.param_groups:
        group.update(fused=True, foreach=False)
    # The constructor sets this for fused=True. GradScaler reads it, and torch has no public way to set it later.
    optimizer._step_supports_amp_scaling = True  # type: ignore[attr-defined]  # noqa: SLF001
    load_state(optimizer, optimizer.state_dict())
    return True


def load_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """``optimizer.load_state_dict``, but steps are executed as before, whatever machine saved the state.

    Args:
        optimizer: gets the state, e.g. moments, and each group's settings, e.g. its learning rate.
        state: state of an optimizer with the same groups; it is not modified.

    Raises:
        ValueError: the groups differ.
    """
    saved, own = state["param_groups"], optimizer.param_groups
    if len(saved) == len(own):  # otherwise load_state_dict raises the error
        kept = [{key: group[key] for key in _CARRIED_OUT_BY if key in group} for group in own]
        state = {**state, "param_groups": [{**group, **keep} for group, keep in zip(saved, kept, strict=True)]}
    optimizer.load_state_dict(state)
