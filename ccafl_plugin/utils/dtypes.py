"""Computation in float32 or wider, also under autocast, for losses, memories and feature layers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that switches autocast off inside a function, on the device of the function's first tensor.

    It does not convert half-precision inputs; :func:`widen` does.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next((a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), "cpu")
        with no_autocast(device):
            return function(*args, **kwargs)

    return wrapper


def no_autocast(device_type: str) -> contextlib.AbstractContextManager[object]:
    """Context manager that switches autocast off for a device type; it does nothing if the device has no autocast."""
    if device_type in ("cpu", "cuda", "xpu"):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


@contextlib.contextmanager
def convolutions_like_products() -> Iterator[None]:
    """Context, or decorator, in which float32 convolutions on a GPU use TF32 only if matrix products may.

    torch lets convolutions use TF32 (10 bits of the mantissa) unless it is told otherwise, but matrix products only
    after ``torch.set_float32_matmul_precision("high")`` or ``"medium"``. So without this, features in float32 are not
    what their name says. A program that has set torch's newer ``fp32_precision`` of single operators keeps it.
    """
    try:
        before = torch.backends.cudnn.allow_tf32
        allowed = uses_tf32()
    except RuntimeError:  # torch refuses to name one value where operators differ
        yield
        return
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def uses_tf32() -> bool:
    """Whether float32 matrix products on a GPU may use TF32, see ``torch.set_float32_matmul_precision``."""
    return torch.get_float32_matmul_precision() != "highest"


def widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Converts tensors to one dtype: float64 if any tensor is float64, else float32. It copies only where needed."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(tensor.to(dtype) for tensor in tensors)


def at_least_float32(values: Tensor) -> Tensor:
    """Converts half precision to float32; float32 and float64 are unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def zero_with_graph(features: Tensor) -> Tensor:
    """A zero whose gradient with respect to ``features`` is 0, even for infinite features (a sum times 0 gives NaN)."""
    return widen(features[:0])[0].sum()
