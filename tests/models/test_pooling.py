from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from ccafl_plugin.models import GeM, NeckBatchNorm


@given(
    batch=st.integers(1, 3),
    dim=st.integers(1, 4),
    height=st.integers(1, 4),
    width=st.integers(1, 3),
    p=st.floats(1.0, 6.0),
    seed=st.integers(0, 2**31),
)
def test_gem_equals_loops(batch, dim, height, width, p, seed):
    maps = torch.randn(batch, dim, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pooled = GeM(p=p).double()(maps)
    for i in range(batch):
        for d in range(dim):
            values = [max(value, 1e-6) ** p for row in maps[i, d].tolist() for value in row]
            slow = (sum(values) / len(values)) ** (1.0 / p)
            assert pooled[i, d].item() == pytest.approx(slow, rel=1e-6)


def test_gem_of_a_constant_map_is_the_constant():
    torch.testing.assert_close(GeM()(torch.full((2, 3, 4, 2), 0.7)), torch.full((2, 3), 0.7))


def test_gem_gradients():
    pooling = GeM().double()
    maps = torch.rand(2, 2, 3, 2, dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(
        lambda maps, p: _with_exponent(pooling, maps, p), (maps.requires_grad_(), pooling.p)
    )


def _with_exponent(pooling, maps, p):
    return torch.func.functional_call(pooling, {"p": p}, (maps,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gem_of_tiny_half_precision_activations_has_finite_gradients(dtype):
    pooling = GeM()
    maps = torch.full((2, 4, 4, 2), 1e-3, dtype=dtype, requires_grad=True)
    pooled = pooling(maps)
    pooled.sum().backward()
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, torch.full((2, 4), maps[0, 0, 0, 0].item()))
    assert maps.grad.isfinite().all() and maps.grad.abs().max() > 0
    assert pooling.p.grad.isfinite().all()


def test_gem_of_zeros_has_finite_gradients():
    maps = torch.zeros(1, 2, 2, 2, requires_grad=True)
    GeM()(maps).sum().backward()
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("p", [-300.0, -8.0, -1.0, -1e-3, 0.0, 1e-9, 0.5, 1.0, 3.0, 4.5, 7.6, 20.0, 90.0, 1e4])
def test_gem_is_finite_for_every_exponent(p, autocast):
    """Dead channels, tiny, usual and huge activations; float32 and half-precision maps."""
    pooling = GeM(p=p)
    rows = torch.rand(4, 5, 2, generator=torch.Generator().manual_seed(1))
    maps = torch.stack([torch.zeros(4, 5, 2), 1e-5 * rows, rows, 3e4 * rows, (rows > 0.9) * 60.0], dim=1)
    maps = (maps.bfloat16() if autocast else maps).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        pooled = pooling(maps)
    pooled.sum().backward()
    assert pooled.dtype == torch.float32
    for values in (pooled, maps.grad, pooling.p.grad):
        assert bool(values.isfinite().all())
    logs = maps.detach().double().clamp(min=1e-6).flatten(2).log()
    used = p if abs(p) >= 0.01 else math.copysign(0.01, p)
    exact = ((torch.logsumexp(used * logs, dim=-1) - math.log(10)) / used).exp()
    torch.testing.assert_close(pooled, exact.float(), rtol=1e-3 if abs(used) < 0.1 else 1e-4, atol=0)


@pytest.mark.parametrize("p", [1.0, 2.5, 3.0, 3.9])
def test_gem_is_the_plain_formula_bit_by_bit_where_that_is_safe(p):
    maps = torch.randn(3, 4, 5, 2, generator=torch.Generator().manual_seed(2)) * 10
    maps[0] = 0.0
    plain_maps, own_maps = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    pooling, exponent = GeM(p=p), torch.full((1,), p, requires_grad=True)
    plain = plain_maps.clamp(min=1e-6).pow(exponent).mean(dim=(-2, -1)).pow(1.0 / exponent)
    own = pooling(own_maps)
    (plain * torch.arange(12.0).view(3, 4)).sum().backward()
    (own * torch.arange(12.0).view(3, 4)).sum().backward()
    assert torch.equal(own, plain)
    assert torch.equal(own_maps.grad, plain_maps.grad)
    assert torch.equal(pooling.p.grad, exponent.grad)


def test_gem_moves_away_from_the_exponent_zero():
    pooling = GeM(p=1e-4)
    pooling(torch.tensor([[[[1.0, 4.0]]]])).sum().backward()
    assert pooling.p.grad.item() > 0  # the mean grows with p; a step against the gradient may leave the region
    assert pooling(torch.tensor([[[[1.0, 4.0]]]])).item() == pytest.approx(2.0, rel=0.01)  # the geometric mean


def test_pooling_and_neck_are_float32_under_autocast():
    maps = torch.rand(4, 8, 4, 2)
    neck = NeckBatchNorm(8)
    expected = neck(GeM()(maps.bfloat16().float()))
    neck.reset_running_stats()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = neck(GeM()(maps.bfloat16()))
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)
    assert neck(maps.flatten(1)[:, :8].bfloat16()).dtype == torch.float32


def test_neck_is_batch_norm_without_bias():
    neck = NeckBatchNorm(5)
    features = torch.randn(6, 5)
    expected = F.batch_norm(features, None, None, training=True)
    torch.testing.assert_close(neck(features), expected)
    assert [name for name, _ in neck.named_parameters()] == ["weight"]
    assert set(neck.state_dict()) == {"weight", "running_mean", "running_var", "num_batches_tracked"}
    neck.reset_parameters()
    assert math.isclose(neck.weight.sum().item(), 5.0)
