"""The paper's association, against a walk over all pairs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.association import associate
from ccafl_plugin.association.nearest_pairs import connect, one_partner_per_camera, pairs_to_look_at
from ccafl_plugin.utils.errors import CCAFLError


def slow_association(features: Tensor, cameras: list[int], count: int) -> list[int]:
    pairs = []
    for a in range(len(cameras)):
        for b in range(a + 1, len(cameras)):
            if cameras[a] != cameras[b]:
                pairs.append((float(((features[a].double() - features[b].double()) ** 2).sum()), a, b))
    partners: list[list[int]] = [[] for _ in cameras]
    for _, a, b in sorted(pairs)[:count]:
        a_has_one = any(cameras[p] == cameras[b] for p in partners[a])
        b_has_one = any(cameras[p] == cameras[a] for p in partners[b])
        if not a_has_one and not b_has_one:
            partners[a].append(b)
            partners[b].append(a)
    pseudo, groups = [-1] * len(cameras), 0
    for start in range(len(cameras)):
        if pseudo[start] == -1 and partners[start]:
            reached = [start]
            for proxy in reached:
                pseudo[proxy] = groups
                reached.extend(p for p in partners[proxy] if p not in reached)
            groups += 1
    return pseudo


@given(
    n=st.integers(0, 20),
    cameras=st.integers(1, 4),
    rate=st.sampled_from([0.0, 0.5, 1.0, 1.7, 30.0]),
    coarse=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_the_plain_walk(n: int, cameras: int, rate: float, coarse: bool, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 2, generator=rng)
    if coarse:
        features = features.round()  # many ties
    seen_by = torch.randint(cameras, (n,), generator=rng)
    before = features.clone(), seen_by.clone()
    pseudo = associate(features, seen_by, rate=rate)
    assert pseudo.dtype == torch.int64
    assert pseudo.tolist() == slow_association(features, seen_by.tolist(), math.floor(rate * n + 1e-9))
    assert torch.equal(features, before[0])
    assert torch.equal(seen_by, before[1])


def test_by_hand() -> None:
    """Two people in three cameras, and a stranger beside the first whom its camera's partner leaves out."""
    places = torch.tensor([[0.0], [10.0], [0.1], [0.3], [10.1], [0.05]])
    cameras = torch.tensor([0, 0, 1, 1, 1, 2])
    assert associate(places, cameras, rate=1.0).tolist() == [0, 1, 0, -1, 1, 0]
    assert associate(places, cameras, rate=0.2).tolist() == [0, -1, -1, -1, -1, 0]


def test_a_chain_may_hold_two_proxies_of_one_camera() -> None:
    places, cameras = torch.tensor([[0.0], [1.0], [2.1]]), torch.tensor([0, 1, 0])
    assert associate(places, cameras, rate=1.0).tolist() == [0, 0, -1]  # 1 has a partner in camera 0 already
    places, cameras = torch.tensor([[0.0], [1.0], [2.1], [3.3]]), torch.tensor([0, 1, 2, 0])
    assert associate(places, cameras, rate=0.75).tolist() == [0, 0, 0, 0]


def test_the_number_of_pairs_is_that_of_the_rate_as_written() -> None:
    assert math.floor(0.29 * 100) == 28
    assert pairs_to_look_at(0.29, 100) == 29
    assert pairs_to_look_at(1.1, 100) == 110
    assert pairs_to_look_at(0.299, 100) == 29
    assert pairs_to_look_at(1, 7) == 7
    assert pairs_to_look_at(1.7, 3262) == 5545
    assert pairs_to_look_at(1e-7, 3262) == 0


def test_nothing_to_associate() -> None:
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert associate(features, torch.zeros(5, dtype=torch.int64)).tolist() == [-1] * 5
    assert associate(features, torch.arange(5), rate=0).tolist() == [-1] * 5
    assert associate(features[:0], torch.zeros(0, dtype=torch.int64)).tolist() == []
    assert associate(features[:1], torch.zeros(1, dtype=torch.int64)).tolist() == [-1]


@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(CCAFLError, match=r"^rate: .* is out of range, it must be at least 0"):
        associate(torch.eye(2), torch.arange(2), rate=rate)


def test_one_partner_per_camera() -> None:
    cameras = [0, 0, 1, 1, 2]
    assert one_partner_per_camera([(0, 2), (0, 3), (1, 2), (1, 3), (0, 4), (1, 4)], cameras) == [(0, 2), (1, 3), (0, 4)]


def test_connect() -> None:
    assert connect([(3, 4), (1, 2), (2, 4)], 6) == [0, 1, 1, 1, 1, 5]


@pytest.mark.parametrize("mode", ["mean", "mean_std"])
@given(n=st.integers(0, 20), cameras=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_with_camera_normalization(mode: str, n: int, cameras: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    features, seen_by = (
        torch.randn(n, 4, generator=rng, dtype=torch.float64),
        torch.randint(cameras, (n,), generator=rng),
    )
    before = features.clone()
    mu, s2 = features.mean(0), features.var(0, correction=0) if n else features.sum(0)
    rows = []
    for row, camera in zip(features, seen_by, strict=True):
        own = features[seen_by == camera]
        k = len(own)
        row = row - (k * own.mean(0) + 2 * mu) / (k + 2)
        if mode == "mean_std":
            row = row / ((k * own.var(0, correction=0) + 2 * s2) / (k + 2) + 1e-12).sqrt()
        rows.append(row / row.norm() if bool(row.norm() > 0) else row)
    expected = slow_association(torch.stack(rows) if n else features, seen_by.tolist(), math.floor(1.7 * n + 1e-9))
    assert associate(features, seen_by, camera_normalization=mode).tolist() == expected
    assert torch.equal(features, before)


def test_cameras_biases_matter_without_normalization_only() -> None:
    rng = torch.Generator().manual_seed(0)
    people = torch.randn(40, 32, generator=rng)
    features = torch.cat([people + 5 * torch.randn(32, generator=rng) for _ in range(3)])
    cameras, truth = torch.arange(3).repeat_interleave(40), torch.arange(40).repeat(3).tolist()
    assert associate(features, cameras, rate=1.0).tolist() != truth
    for mode in ("mean", "mean_std"):
        assert associate(features, cameras, rate=1.0, camera_normalization=mode).tolist() == truth


def test_unknown_normalization() -> None:
    with pytest.raises(CCAFLError, match=r"'camera_normalization' of association .*'std' is not available.*none"):
        associate(torch.eye(2), torch.arange(2), camera_normalization="std")
