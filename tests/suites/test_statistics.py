"""Mean, deviation and paired intervals against SciPy and plain sums."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from ccafl_plugin.suites.statistics import paired_difference, spread

numbers = st.floats(-100, 100, allow_nan=False)


@given(st.lists(numbers, min_size=2, max_size=8))
def test_spread(values: list[float]) -> None:
    found = spread(values)
    mean = sum(values) / len(values)
    assert found.seeds == len(values)
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.deviation == pytest.approx(
        math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)), abs=1e-6
    )


def test_spread_of_few() -> None:
    assert spread([]) is None
    assert spread([3.0]) == (3.0, None, 1)


@given(st.dictionaries(st.integers(0, 9), numbers), st.dictionaries(st.integers(0, 9), numbers))
def test_only_seeds_of_both_are_compared(ours: dict[int, float], theirs: dict[int, float]) -> None:
    shared = sorted(set(ours) & set(theirs))
    found = paired_difference(ours, theirs)
    if not shared:
        assert found is None
        return
    assert found.seeds == len(shared)
    assert found.mean == pytest.approx(sum(ours[s] - theirs[s] for s in shared) / len(shared), abs=1e-9)
    assert (found.low is None) == (len(shared) == 1)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=6, unique=True))
def test_interval_is_that_of_the_paired_t_test(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = ({seed: pair[side] / 10 for seed, pair in enumerate(pairs)} for side in (0, 1))
    found = paired_difference(ours, theirs)
    if len({round(ours[seed] - theirs[seed], 6) for seed in ours}) == 1:
        assert found.high - found.low == pytest.approx(0, abs=1e-9)
        return
    expected = ttest_rel(list(ours.values()), list(theirs.values())).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


def test_a_known_interval() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, and t(0.975, 2) = 4.3027."""
    found = paired_difference({1: 11.0, 2: 22.0, 3: 33.0}, {1: 10.0, 2: 20.0, 3: 30.0})
    assert found == pytest.approx((2.0, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3), 3), abs=1e-6)
