"""Whitening by the spread inside proxies, against loops and against what it has to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ccafl_plugin.association import associate, pair_scores, spread_inside, whiten


def slow_spread(features: NDArray, proxies: list[int]) -> NDArray:
    d = features.shape[1]
    total = np.zeros((d, d))
    for row, proxy in zip(features, proxies, strict=True):
        own = [other for other, its in zip(features, proxies, strict=True) if its == proxy]
        difference = row - sum(own) / len(own)
        for i in range(d):
            for j in range(d):
                total[i, j] += difference[i] * difference[j] / len(features)
    return total


def means_of(features: torch.Tensor, proxies: torch.Tensor) -> torch.Tensor:
    return torch.stack([features[proxies == proxy].mean(dim=0) for proxy in range(int(proxies.max()) + 1)])


@given(
    count=st.integers(1, 6),
    images=st.integers(1, 4),
    d=st.integers(1, 5),
    shrinkage=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 2**31),
)
def test_equals_loops(count: int, images: int, d: int, shrinkage: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    proxies = rng.permutation(np.arange(count * images) % count)
    features = rng.standard_normal((len(proxies), d))
    rows, labels = torch.from_numpy(features), torch.from_numpy(proxies)
    means = means_of(rows, labels)
    spread = spread_inside(rows, means, labels)
    expected = slow_spread(features, proxies.tolist())
    np.testing.assert_allclose(spread.numpy(), expected, atol=1e-12)
    before = means.clone()
    got = whiten(means, spread, shrinkage)
    assert got.dtype == torch.float64
    assert torch.equal(means, before)
    # Any root of the inverse gives the same cosines; this one is Cholesky's.
    level = np.trace(expected) / d
    if level < 1e-12:
        np.testing.assert_allclose(got.numpy(), torch.nn.functional.normalize(means, dim=1).numpy())
        return
    lower = np.linalg.cholesky(expected + shrinkage * level * np.eye(d))
    white = np.array([np.linalg.solve(lower, row) for row in means.numpy()])
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    np.testing.assert_allclose((got @ got.T).numpy(), white @ white.T, atol=1e-8)
    np.testing.assert_allclose(got.square().sum(dim=1).numpy(), 1, rtol=1e-12)


def test_the_scale_of_the_spread_does_not_matter() -> None:
    rows = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spread = rows.T @ rows
    torch.testing.assert_close(whiten(rows, spread, 1.0), whiten(rows, 1e-9 * spread, 1.0))


def test_one_image_per_proxy_changes_nothing_but_lengths() -> None:
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    spread = spread_inside(rows, rows, torch.arange(5))
    assert not spread.any()
    torch.testing.assert_close(whiten(rows, spread, 1.0), torch.nn.functional.normalize(rows.double(), dim=1))


def test_half_precision_is_finite() -> None:
    rows = torch.nn.functional.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=1).half()
    proxies = torch.arange(20) // 2
    means = means_of(rows.float(), proxies)
    assert torch.isfinite(whiten(means, spread_inside(rows, means, proxies), 1e-3)).all()


def test_people_are_found_behind_what_varies_from_image_to_image() -> None:
    """30 people in 3 cameras; along 4 of 20 directions images of one person differ more than people do."""
    rng = np.random.default_rng(3)
    people = rng.standard_normal((30, 20))
    person, camera = np.tile(np.arange(30), 3), np.repeat(np.arange(3), 30)
    directions = np.linalg.qr(rng.standard_normal((20, 4)))[0].T
    proxies = np.repeat(np.arange(90), 5)
    images = [
        people[person[proxy]] + 0.5 * rng.standard_normal(20) + 8 * rng.standard_normal(4) @ directions
        for proxy in proxies
    ]
    features, labels = torch.from_numpy(np.array(images)), torch.from_numpy(proxies)
    means = means_of(features, labels)

    def recall(rows: torch.Tensor) -> float:
        pseudo = associate(rows, torch.from_numpy(camera), "margin")
        return pair_scores(pseudo, torch.from_numpy(camera), torch.from_numpy(person)).recall

    assert recall(torch.nn.functional.normalize(means, dim=1)) < 0.5
    assert recall(whiten(means, spread_inside(features, means, labels), 0.1)) > 0.9


@pytest.mark.parametrize("shrinkage", [1e-6, 1e6])
def test_shrinkage_sets_the_strength(shrinkage: float) -> None:
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spread = torch.diag(torch.tensor([9.0, 1.0, 1.0], dtype=torch.float64))
    weak = torch.nn.functional.normalize(rows, dim=1)
    strong = torch.nn.functional.normalize(rows / torch.tensor([3.0, 1.0, 1.0]), dim=1)
    torch.testing.assert_close(whiten(rows, spread, shrinkage), strong if shrinkage < 1 else weak, atol=1e-5, rtol=0)
