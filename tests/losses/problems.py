"""Random inputs, and the comparison of values and gradients, that the tests of the losses share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)


def unit_rows(*shape: int, seed: int = 0) -> Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows / rows.norm(dim=-1, keepdim=True)


def labels(count: int, classes: int, seed: int = 0, lowest: int = 0) -> Tensor:
    return torch.randint(lowest, classes, (count,), generator=torch.Generator().manual_seed(seed))


def value_and_gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    at = at.clone().requires_grad_()
    value = loss(at)
    value.backward()
    assert at.grad is not None
    return value.detach(), at.grad


def assert_same(fast: Callable[[Tensor], Tensor], slow: Callable[[Tensor], Tensor], at: Tensor) -> None:
    """Equal values and gradients."""
    value, gradient = value_and_gradient(fast, at)
    expected, slope = value_and_gradient(slow, at)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-10)


def assert_zero_with_graph(loss: Callable[[Tensor], Tensor], at: Tensor) -> None:
    value, gradient = value_and_gradient(loss, at)
    assert value.item() == 0
    assert torch.equal(gradient, torch.zeros_like(at))


def assert_finite_in_half(loss: Callable[[Tensor], Tensor], at: Tensor) -> None:
    """Half-precision features, also under autocast, give a float32 loss near that of float64, and finite gradients."""
    expected = loss(at).item()
    for dtype in HALVES:
        for autocast in (False, True):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                value, gradient = value_and_gradient(loss, at.to(dtype))
            assert value.dtype == torch.float32
            assert gradient.dtype == dtype
            assert abs(value.item() - expected) <= 0.1 * abs(expected) + 0.1
            assert torch.isfinite(gradient).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, _ = value_and_gradient(loss, at.float())
        assert abs(value.item() - expected) <= 1e-4 * abs(expected) + 1e-5
        assert loss(at).dtype == torch.float64


def assert_untouched(loss: Callable[..., object], *inputs: Tensor) -> None:
    before = [x.clone() for x in inputs]
    loss(*inputs)
    for x, old in zip(inputs, before, strict=True):
        assert torch.equal(x, old)
