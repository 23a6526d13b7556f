"""The helpers that keep losses in float32 or wider."""

from __future__ import annotations

import torch

from ccafl_plugin.utils.dtypes import full_precision, no_autocast, widen, zero_with_graph


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
