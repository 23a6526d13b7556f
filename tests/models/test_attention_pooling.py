from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.modified_resnet import AttentionPool2d

from ccafl_plugin.models.attention_pooling import pool_by_attention


def pooling_of(width: int, heads: int, out: int, grid: tuple[int, int], seed: int) -> AttentionPool2d:
    """open_clip's pooling in float64, with biases that are not zero."""
    torch.manual_seed(seed)
    pooling = AttentionPool2d(1, width, heads, out).double()
    pooling.positional_embedding = torch.nn.Parameter(torch.randn(1 + math.prod(grid), width, dtype=torch.float64))
    for name, parameter in pooling.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return pooling


sizes = {
    "batch": st.integers(1, 4),
    "heads": st.integers(1, 3),
    "head_width": st.integers(1, 4),
    "out": st.integers(1, 5),
    "grid": st.tuples(st.integers(1, 4), st.integers(1, 3)),
    "seed": st.integers(0, 2**31),
}


@given(**sizes)
def test_is_open_clips_pooling(batch, heads, head_width, out, grid, seed):
    pooling = pooling_of(heads * head_width, heads, out, grid, seed)
    feature_map = torch.randn(batch, heads * head_width, *grid, dtype=torch.float64)
    ours = pool_by_attention(pooling, feature_map, pooling.positional_embedding)
    torch.testing.assert_close(ours, pooling(feature_map), rtol=1e-10, atol=1e-12)


@given(**sizes)
def test_gradients_are_those_of_open_clips_pooling(batch, heads, head_width, out, grid, seed):
    pooling = pooling_of(heads * head_width, heads, out, grid, seed)
    feature_map = torch.randn(batch, heads * head_width, *grid, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(batch, out, dtype=torch.float64)
    inputs = {"map": feature_map, **dict(pooling.named_parameters())}
    found = torch.autograd.grad(
        (pool_by_attention(pooling, feature_map, pooling.positional_embedding) * direction).sum(), inputs.values()
    )
    expected = torch.autograd.grad((pooling(feature_map) * direction).sum(), inputs.values())
    for name, ours, theirs in zip(inputs, found, expected, strict=True):  # every parameter has one, k's bias included
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


@torch.no_grad()
def test_against_loops():
    """One image, spelt out: the mean token asks, every head weighs all tokens by its own softmax."""
    pooling = pooling_of(4, 2, 3, (2, 1), 5)
    feature_map = torch.randn(1, 4, 2, 1, dtype=torch.float64)
    columns = [feature_map[0, :, row, 0] for row in range(2)]
    tokens = [token + pooling.positional_embedding[i] for i, token in enumerate([sum(columns) / 2, *columns])]
    asked = pooling.q_proj(tokens[0])
    heads = []
    for head in (slice(0, 2), slice(2, 4)):
        scores = [float(asked[head] @ pooling.k_proj(token)[head]) / math.sqrt(2) for token in tokens]
        total = sum(math.exp(score) for score in scores)
        heads.append(
            sum(
                math.exp(score) / total * pooling.v_proj(token)[head]
                for score, token in zip(scores, tokens, strict=True)
            )
        )
    expected = pooling.c_proj(torch.cat(heads))
    torch.testing.assert_close(pool_by_attention(pooling, feature_map, pooling.positional_embedding)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_types_are_finite_and_close(dtype):
    pooling = pooling_of(64, 4, 16, (4, 2), 1).float()
    feature_map = torch.randn(8, 64, 4, 2).relu()
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        ours = pool_by_attention(pooling, feature_map, pooling.positional_embedding).float()
    ours.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in pooling.parameters())
    error = (ours - pooling(feature_map)).abs().max() / pooling(feature_map).abs().max()
    assert error < {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 5e-3}[dtype]


def test_layout_of_the_map_does_not_matter_and_it_stays_as_it_is():
    pooling = pooling_of(8, 2, 3, (3, 2), 2)
    feature_map = torch.randn(2, 8, 3, 2, dtype=torch.float64)
    kept = feature_map.clone()
    plain = pool_by_attention(pooling, feature_map, pooling.positional_embedding)
    other = feature_map.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(pool_by_attention(pooling, other, pooling.positional_embedding), plain)
    assert torch.equal(feature_map, kept)
