"""The helpers that keep losses in float32 or wider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ccafl_plugin.utils.dtypes import (
    convolutions_like_products,
    full_precision,
    no_autocast,
    uses_tf32,
    widen,
    zero_with_graph,
)


@pytest.fixture
def tf32() -> Iterator[None]:
    """torch's settings are restored."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions


@pytest.mark.parametrize(("precision", "allowed"), [("highest", False), ("high", True), ("medium", True)])
@pytest.mark.parametrize("before", [False, True])
def test_convolutions_use_tf32_if_products_may(tf32: None, precision: str, allowed: bool, before: bool) -> None:
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = before

    @convolutions_like_products()
    def inside() -> bool:
        return torch.backends.cudnn.allow_tf32

    assert (inside(), uses_tf32()) == (allowed, allowed)
    assert torch.backends.cudnn.allow_tf32 == before
    with pytest.raises(KeyError), convolutions_like_products():
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="before torch 2.9 all operators have one setting")
def test_settings_of_single_operators_are_kept(tf32: None) -> None:
    convolution, recurrent = torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    before = convolution.fp32_precision, recurrent.fp32_precision
    try:
        convolution.fp32_precision, recurrent.fp32_precision = "tf32", "ieee"
        with convolutions_like_products():
            assert convolution.fp32_precision == "tf32"
    finally:
        convolution.fp32_precision, recurrent.fp32_precision = before


def test_widen_never_narrows() -> None:
    half, single, double = torch.ones(2).half(), torch.ones(2), torch.ones(2).double()
    assert [x.dtype for x in widen(half, single)] == [torch.float32, torch.float32]
    assert [x.dtype for x in widen(half, double)] == [torch.float64, torch.float64]
    assert widen(single)[0] is single


def test_autocast_is_off_inside_wherever_the_tensor_stands() -> None:
    @full_precision
    def product(scale: float, *, rows: torch.Tensor) -> torch.Tensor:
        return scale * (rows @ rows.T)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(2.0, rows=torch.ones(2, 2)).dtype == torch.float32
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_devices_without_autocast_are_left_alone() -> None:
    with no_autocast("meta"):
        pass


def test_zero_with_graph_ignores_what_is_not_finite() -> None:
    rows = torch.full((2, 2), torch.inf, requires_grad=True)
    zero = zero_with_graph(rows)
    zero.backward()
    assert zero.item() == 0
    assert torch.equal(rows.grad, torch.zeros(2, 2))
