"""Finds where the host waits for a device, on a machine without one.

What runs on the ``meta`` device has no numbers, so whatever needs them on the host fails there: ``item``, ``tolist``,
``bool``, ``cpu``, boolean indices, ``nonzero``, ``unique``, ``bincount``. :class:`NoWaiting` finds what meta tensors
don't mind: copies to the device that the host waits for, and indices that are still on the host.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class NoWaiting(TorchDispatchMode):
    """Fails where a copy or an index makes the host wait for the device."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        from_host = any(not value.is_meta and value.ndim for value in given)
        if from_host and isinstance(result, Tensor) and result.is_meta:
            waits = not (args[2:3] == (True,) or kwargs.get("non_blocking"))
            assert function in COPIES, f"{function} takes a tensor that is still on the host"
            assert not waits, f"{function} waits for the device: copy with non_blocking=True"
        return result


def on_meta(thing: Any) -> None:
    """Moves every tensor that a plain object holds, in its modules too, to the meta device; names with _host stay."""
    for name, value in vars(thing).items():
        if isinstance(value, nn.Module):
            value.to("meta")
        elif isinstance(value, Tensor) and "_host" not in name:
            setattr(thing, name, value.to("meta"))
