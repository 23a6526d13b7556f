"""The closest cross-camera pairs, against all pairs sorted."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ccafl_plugin.association import blocks, closest
from ccafl_plugin.association.closest import closest_pairs


def slow_pairs(features: NDArray, cameras: NDArray, count: int) -> list[tuple[float, int, int]]:
    found = []
    for a in range(len(features)):
        for b in range(a + 1, len(features)):
            if cameras[a] != cameras[b]:
                difference = features[a].astype(np.float64) - features[b].astype(np.float64)
                found.append((float(np.sum(difference**2)), a, b))
    return sorted(found)[:count]


def assert_closest(features: NDArray, cameras: NDArray, count: int) -> None:
    got = closest_pairs(features, cameras, count)
    expected = slow_pairs(features, cameras, count)
    assert list(zip(got.first.tolist(), got.second.tolist(), strict=True)) == [(a, b) for _, a, b in expected]
    np.testing.assert_allclose(got.distance, [d for d, _, _ in expected], rtol=1e-14, atol=0)


KINDS = {
    "gaussian": lambda rng, n, d: rng.standard_normal((n, d)),
    "with ties": lambda rng, n, d: rng.integers(0, 2, (n, d)).astype(float),
    "nearly equal": lambda rng, n, d: 1 + 1e-9 * rng.standard_normal((n, d)),
    "far from the origin": lambda rng, n, d: 1e6 + rng.standard_normal((n, d)),
    "tiny": lambda rng, n, d: 1e-25 * rng.standard_normal((n, d)),
    "huge": lambda rng, n, d: 1e25 * rng.standard_normal((n, d)),
    "with an outlier": lambda rng, n, d: np.where(np.arange(n) == 0, 1e4, 1e-6)[:, None] * rng.standard_normal((n, d)),
    "all equal": lambda rng, n, d: np.ones((n, d)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    n=st.integers(0, 24),
    d=st.integers(1, 5),
    cameras=st.integers(1, 4),
    share=st.floats(0, 1.2),
    seed=st.integers(0, 999),
)
def test_equals_sorting_all_pairs(
    kind: str, dtype: type, n: int, d: int, cameras: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng([n, d, cameras, seed])
    features = KINDS[kind](rng, n, d).astype(dtype)
    assert_closest(features, rng.integers(0, cameras, n), int(share * n * (n - 1) / 2))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that make 60 proxies go through many blocks, refinements and prunings."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 100)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 3)
    monkeypatch.setattr(closest, "REFINED_AT_ONCE", 7)
    monkeypatch.setattr(closest, "SPARE_CANDIDATES", 0)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 20, 90, 5000])
def test_pieces_change_nothing(kind: str, count: int) -> None:
    rng = np.random.default_rng(3)
    for cameras in (2, 6, 60):
        assert_closest(KINDS[kind](rng, 60, 8), rng.integers(0, cameras, 60), count)


@pytest.mark.usefixtures("small_pieces")
def test_what_float32_cannot_tell_apart_is_searched_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    search = closest._search

    def spy(features: NDArray, cameras: NDArray, count: int, dtype: np.dtype, **options: bool) -> object:
        passes.append(dtype.name)
        return search(features, cameras, count, dtype, **options)

    monkeypatch.setattr(closest, "_search", spy)
    rng = np.random.default_rng(0)
    assert_closest(KINDS["gaussian"](rng, 60, 8), np.arange(60) % 3, 20)
    assert passes == ["float32"]
    assert_closest(KINDS["with an outlier"](rng, 60, 8), np.arange(60) % 3, 20)
    assert passes == ["float32", "float32", "float64"]


def test_distances_that_differ_in_the_last_bits_are_told_apart() -> None:
    """Points at distances from the first one that float32 rounds to the same number."""
    steps = np.arange(40) % 7
    features = np.zeros((41, 2))
    features[1:, 0] = 1 + steps * 2.0**-40
    got = closest_pairs(features, np.array([0] + [1] * 40), 40)
    expected = sorted(range(40), key=lambda i: (steps[i], i))
    assert got.second.tolist() == [i + 1 for i in expected]


def test_no_matrix_of_all_pairs_is_made() -> None:
    count, dim = 12_000, 8
    features = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
    tracemalloc.start()
    closest_pairs(features, np.arange(count) % 5, 2 * count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * count / 2  # bytes; all pairs of one half, in float32, would be four times as many
