"""Margins among the proxies of nearby cells, against loops, and against the exact association."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ccafl_plugin.association import approximate_matches as module
from ccafl_plugin.association import associate
from ccafl_plugin.association.approximate_matches import approximate_matches, centres_of, nearest_cells
from ccafl_plugin.utils.errors import CCAFLError
from tests.association.test_margin import KINDS, draw


def problem(n: int, d: int, cameras: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Unit rows, and cameras that all have a proxy, in any order."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    camera = rng.permutation(np.concatenate([np.arange(cameras), rng.integers(0, cameras, n - cameras)]))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), camera


def slow_matches(
    unit: NDArray[np.float64], camera: NDArray[np.int64], best: int, probes: int
) -> tuple[NDArray[np.float64], set[tuple[int, int]]]:
    """Means of the highest cosines, and the matches above the lowest of them, by loops."""
    total, cameras = len(unit), int(camera.max()) + 1
    order = np.argsort(camera, kind="stable")
    rows = unit[order].astype(np.float32)
    cells = nearest_cells(rows, centres_of(rows, int((probes * total) ** 0.5)), probes)
    near = {int(order[i]): cells[i].tolist() for i in range(total)}

    def highest(a: int, number: int, others: Iterable[int]) -> list[tuple[float, int]]:
        return sorted(((float(unit[a] @ unit[b]), b) for b in others if camera[b] == number), reverse=True)[:best]

    def best_of(a: int, others: Iterable[int]) -> list[tuple[float, int]]:
        numbers = set(range(cameras)) - {int(camera[a])}
        return [found for number in numbers for found in highest(a, number, others)]

    compared = {a: {b for b in range(total) if near[b][0] in near[a]} for a in range(total)}
    close = {a: {b for _, b in sorted(best_of(a, compared[a]), reverse=True)[: module.CLOSE]} for a in range(total)}
    pairs = set()
    for a in range(total):
        further = {c for b in close[a] for c in close[b]}
        pairs |= {frozenset((a, b)) for _, b in best_of(a, compared[a] | further)}
    mean, matches = np.full((total, cameras), -np.inf), set()
    for a in range(total):
        others = [b for pair in pairs if a in pair for b in pair - {a}]
        for number in range(cameras):
            if found := highest(a, number, others):
                mean[a, number] = np.mean([cosine for cosine, _ in found])
                matches |= {(a, b) for cosine, b in found if cosine > found[-1][0]}
    return mean, matches


@given(
    n=st.integers(8, 40),
    d=st.integers(3, 6),
    cameras=st.integers(1, 4),
    best=st.integers(2, 4),
    probes=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_equals_loops_over_cells(n: int, d: int, cameras: int, best: int, probes: int, seed: int) -> None:
    unit, camera = problem(n, d, cameras, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXHAUSTIVE", 0)
        patch.setattr(module, "ROWS", 5)
        patch.setattr(module, "CLOSE", 3)
        patch.setattr(module, "AT_ONCE", 100)
        found = approximate_matches(unit, camera, best, probes)
    if int((probes * n) ** 0.5) > probes:  # otherwise every cell would be looked into
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "CLOSE", 3)
            mean, matches = slow_matches(unit, camera, best, probes)
        np.testing.assert_allclose(found.mean, mean, atol=1e-12)
        assert set(zip(found.a.tolist(), found.b.tolist(), strict=True)) == matches


@given(n=st.integers(4, 60), cells=st.integers(1, 4), probes=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_cells(n: int, cells: int, probes: int, seed: int) -> None:
    rows = problem(n, 3, 1, seed)[0].astype(np.float32)
    rows[0] = 0
    centres = centres_of(rows, cells)
    lengths = np.linalg.norm(centres, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()
    assert np.array_equal(centres, centres_of(rows, cells))
    near = nearest_cells(rows, centres, min(probes, cells))
    for row, found in zip(rows, near, strict=True):
        expected = sorted(range(cells), key=lambda cell: -float(row @ centres[cell]))[: len(found)]
        np.testing.assert_allclose(centres[found] @ row, centres[expected] @ row, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_few_proxies_give_the_groups_of_margin(kind: str) -> None:
    features, seen_by = draw(kind, 60, 8, 4, 0)
    given = torch.from_numpy(features), torch.tensor(seen_by)
    assert torch.equal(associate(*given, "approximate_margin", best=3), associate(*given, "margin", best=3))


def test_clear_people_are_found_in_few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(np.tile(rng.standard_normal((150, 16)), (4, 1)) + 0.1 * rng.standard_normal((600, 16)))
    cameras = torch.arange(4).repeat_interleave(150)
    expected = torch.arange(150).repeat(4)
    assert torch.equal(associate(features, cameras, "margin"), expected)
    monkeypatch.setattr(module, "EXHAUSTIVE", 0)
    found = associate(features, cameras, "approximate_margin", probes=8)
    assert (found == expected).float().mean() > 0.95
    assert torch.equal(associate(features, cameras, "approximate_margin", probes=1000), expected)  # exhaustive again


def test_errors() -> None:
    with pytest.raises(CCAFLError, match="probes: 0 is out of range"):
        associate(torch.eye(4), torch.arange(4), "approximate_margin", probes=0)
    with pytest.raises(CCAFLError, match="best: 1 is out of range"):
        associate(torch.eye(4), torch.arange(4), "approximate_margin", best=1)
