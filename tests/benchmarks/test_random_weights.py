"""Repeated draws are as random as a model needs: right mean and deviation, rows that differ, the seed's numbers."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.random_weights import DRAWN, repeated_draws


def test_layers():
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        with repeated_draws():
            layer, table = nn.Linear(600, 300), nn.Embedding(500, 400)
        assert layer.weight.requires_grad
        drawn.append((layer.weight.detach(), table.weight.detach()))
    (uniform, normal), again = drawn
    assert torch.equal(uniform, again[0]) and torch.equal(normal, again[1])
    assert abs(float(normal.mean())) < 0.01 and abs(float(normal.std()) - 1) < 0.01
    assert float(uniform.abs().max()) <= 600**-0.5 and float(uniform.std()) > 0.5 * 600**-0.5
    assert len(uniform.unique(dim=0)) == 300
    assert len(normal.unique()) <= DRAWN < normal.numel()


def test_small_tensors_and_the_end():
    torch.manual_seed(1)
    plain = torch.empty(100).normal_(2.0, 3.0), torch.empty(2 * DRAWN).normal_()
    torch.manual_seed(1)
    with repeated_draws():
        small = torch.empty(100).normal_(2.0, 3.0)
    assert torch.equal(small, plain[0])
    assert torch.equal(torch.empty(2 * DRAWN).normal_(), plain[1])
