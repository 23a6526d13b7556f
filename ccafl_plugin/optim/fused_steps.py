"""Optimizer steps in one kernel, and optimizer states that move between machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer

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
    # What the constructor sets for fused=True; GradScaler asks for it, and torch has no public way to set it later.
    optimizer._step_supports_amp_scaling = True  # type: ignore[attr-defined]  # noqa: SLF001
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
