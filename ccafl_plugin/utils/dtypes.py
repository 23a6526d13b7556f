"""Losses and memories compute in float32 or wider, under autocast too."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run a function of tensors with autocast switched off on the device of its first tensor.

    It takes care of the operations only; half-precision inputs are widened by :func:`widen`.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next((a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), "cpu")
        with no_autocast(device):
            return function(*args, **kwargs)

    return wrapper


def no_autocast(device_type: str) -> contextlib.AbstractContextManager[object]:
    """Autocast switched off for a device type; nothing where torch knows no autocast for it."""
    if device_type in ("cpu", "cuda", "xpu"):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


def widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one common dtype: float32, or float64 if any of them is. Nothing is copied that fits already."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(tensor.to(dtype) for tensor in tensors)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def zero_with_graph(features: Tensor) -> Tensor:
    """A zero whose gradient by ``features`` is all zeros, whatever the features hold (a sum times 0 could be NaN)."""
    return widen(features[:0])[0].sum()
