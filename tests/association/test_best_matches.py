"""The highest cosines per camera, against loops over all pairs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ccafl_plugin.association import best_matches as module
from ccafl_plugin.association import blocks
from ccafl_plugin.association.best_matches import best_matches, cosines


def unit_rows(kind: str, n: int, d: int, seed: int) -> NDArray:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    if kind == "duplicates":
        rows = rows[rng.integers(0, max(1, n // 3), n)]
    elif kind == "coarse":
        rows = rows.round()
    elif kind == "nearly equal":
        rows = 1 + 1e-4 * rows
    elif kind == "all equal":
        rows[:] = 1
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return rows / np.where(length > 0, length, 1)


def assert_best(unit: NDArray, camera: NDArray, best: int = 2) -> None:
    got = best_matches(unit, camera, best)
    expected = []
    for a in range(len(unit)):
        for c in range(camera.max() + 1):
            if c == camera[a]:
                assert got.mean[a, c] == -np.inf
                continue
            ranked = sorted(((float(np.sum(unit[a] * unit[b])), b) for b in np.flatnonzero(camera == c)), reverse=True)
            highest = [cosine for cosine, _ in ranked[:best]]
            assert got.mean[a, c] == max(sum(highest) / len(highest), highest[-1])
            expected += [(a, int(b), cosine) for cosine, b in ranked[:best] if cosine > highest[-1]]
    found = zip(got.a.tolist(), got.b.tolist(), got.cosine.tolist(), strict=True)
    assert sorted(found) == sorted(expected)


KINDS = ("gaussian", "duplicates", "coarse", "nearly equal", "all equal")


@pytest.mark.parametrize("kind", KINDS)
@given(
    n=st.integers(1, 16),
    d=st.integers(1, 6),
    cameras=st.integers(1, 5),
    best=st.integers(2, 5),
    seed=st.integers(0, 2**31),
)
def test_equals_loops_over_all_pairs(kind: str, n: int, d: int, cameras: int, best: int, seed: int) -> None:
    camera = np.random.default_rng(seed).integers(0, cameras, n)
    assert_best(unit_rows(kind, n, d, seed), np.unique(camera, return_inverse=True)[1], best)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cameras", [2, 5, 50])
@pytest.mark.parametrize(("elements", "rows"), [(1, 1), (100, 3), (1, 7), (1000, 1)])
def test_blocks_change_nothing(
    kind: str, cameras: int, elements: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that hold a part of a camera, and several cameras."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", elements)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", rows)
    monkeypatch.setattr(module, "REFINED_AT_ONCE", 50)
    camera = np.random.default_rng(1).permutation(50) % cameras
    for best in (2, 4):
        assert_best(unit_rows(kind, 50, 8, 2), camera, best)


@pytest.mark.parametrize("rows", [1, 256])
@pytest.mark.parametrize("own", [0, 1])
def test_cosines_that_float32_cannot_tell_apart(own: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One proxy is alike to all of the other camera, which have closer matches: only it needs these cosines."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 1)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", rows)
    misled = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        unit = rng.standard_normal(512) + 3e-8 * rng.standard_normal((22, 512))
        unit[0] += rng.standard_normal(512)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        computed = unit[3:].astype(np.float32) @ unit[0].astype(np.float32)
        misled += computed[np.argsort(unit[3:] @ unit[0])[-2:]].min() < np.sort(computed)[-2]
        assert_best(unit, np.where(np.arange(22) < 3, own, 1 - own))
    assert misled


def test_rounding_errors_that_add_up() -> None:
    """In sums of many terms of one sign float32 is off by far more than the last bit."""
    unit = unit_rows("nearly equal", 40, 1 << 13, 0)
    narrow = unit.astype(np.float32)
    assert np.abs(narrow @ narrow.T - unit @ unit.T).max() > np.finfo(np.float32).eps
    assert_best(unit, np.arange(40) % 2)


def test_equal_rows_have_equal_cosines_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    unit = np.repeat(rng.standard_normal((3, 301)), 40, axis=0)
    a, b = np.divmod(np.arange(120 * 120), 120)
    table = cosines(unit, a, b).reshape(120, 120)
    np.testing.assert_array_equal(table, table.T)
    np.testing.assert_array_equal(table, np.kron(table[::40, ::40], np.ones((40, 40))))


def test_no_matrix_of_all_pairs_is_made() -> None:
    count, dim = 8000, 16
    rng = np.random.default_rng(0)
    unit = rng.standard_normal((count, dim))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    tracemalloc.start()
    best_matches(unit, np.arange(count) % 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * count / 2  # bytes; all pairs of one half, in float32, would be four times as many
