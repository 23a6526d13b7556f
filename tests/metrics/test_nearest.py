from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.metrics.nearest import nearest


@given(
    length=st.integers(0, 700), count=st.integers(1, 30), values=st.sampled_from([1, 3, 10**6]), seed=st.integers(0, 99)
)
def test_equals_the_start_of_a_stable_sort(length, count, values, seed):
    row = np.random.default_rng(seed).integers(0, values, length).astype(np.float32)
    before = row.copy()
    assert nearest(row, count).tolist() == np.argsort(row, kind="stable")[:count].tolist()
    np.testing.assert_array_equal(row, before)


@pytest.mark.parametrize("length", [64 * 21, 64 * 22, 64 * 22 + 63])
def test_lengths_around_which_a_sample_is_used(length):
    row = np.random.default_rng(0).random(length)
    row[-1] = -1  # not in the sample of the last
    assert nearest(row, 21).tolist() == np.argsort(row, kind="stable")[:21].tolist()
