"""Moments of cameras, against sums over images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.utils.camera_moments import Moments, moments, pulled, scaled_to_unit_length, united, without

sizes = {"n": st.integers(1, 30), "d": st.integers(1, 5), "seed": st.integers(0, 2**31)}


def draw(n: int, d: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 10 * rng.standard_normal(d) + rng.standard_normal((n, d))


@given(**sizes)
def test_moments_equal_sums(n: int, d: int, seed: int) -> None:
    rows = draw(n, d, seed)
    found = moments(rows)
    assert found.images == n
    for k in range(d):
        mean = math.fsum(rows[:, k]) / n
        assert found.mean[k] == pytest.approx(mean, rel=1e-12)
        variance = math.fsum((x - mean) ** 2 for x in rows[:, k]) / n
        assert found.variance[k] == pytest.approx(variance, rel=1e-9, abs=1e-25)


@given(**sizes, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_united_equals_the_moments_of_all(n: int, d: int, seed: int, cuts: list[int]) -> None:
    rows = draw(n, d, seed)
    parts = [part for part in np.split(rows, sorted(cuts)) if len(part)]
    found, expected = united([moments(part) for part in parts]), moments(rows)
    assert found.images == n
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9, atol=1e-24)


def test_half_precision_is_widened() -> None:
    found = moments(np.full((3000, 1), 0.1, dtype=np.float16))
    assert found.mean.dtype == found.variance.dtype == np.float64
    assert found.mean[0] == pytest.approx(float(np.float16(0.1)), rel=1e-12)


def test_pulled_by_hand() -> None:
    """One image: two thirds are those of all. Four: a third."""
    everything = Moments(100, np.array([3.0]), np.array([9.0]))
    alone = pulled(Moments(1, np.array([0.0]), np.array([0.0])), everything)
    assert (alone.images, alone.mean.tolist(), alone.variance.tolist()) == (1, [2.0], [6.0])
    four = pulled(Moments(4, np.array([0.0]), np.array([3.0])), everything)
    assert (four.mean.tolist(), four.variance.tolist()) == ([1.0], [5.0])


def test_taken_out_and_scaled_by_hand_in_place() -> None:
    rows, of = np.array([[5.0, 1.0], [1.0, 1.0]]), Moments(2, np.array([1.0, 1.0]), np.array([4.0, 0.0]))
    np.testing.assert_array_equal(without(rows.copy(), of, "mean"), [[4, 0], [0, 0]])
    found = without(rows, of, "mean_std")
    assert found is rows
    np.testing.assert_allclose(rows, [[2, 0], [0, 0]], rtol=1e-12)
    rows[0, 1] = 1.5
    assert scaled_to_unit_length(rows) is rows
    np.testing.assert_allclose(rows, [[0.8, 0.6], [0, 0]], rtol=1e-12)
