"""Neighbourhoods against sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.metrics.reciprocal import expanded_neighbours, reciprocal


def slow_reciprocal(ranking: np.ndarray, image: int, count: int) -> set[int]:
    return {int(other) for other in ranking[image, :count] if image in ranking[other, :count]}


@given(total=st.integers(1, 60), k1=st.integers(1, 12), rows=st.integers(1, 70), seed=st.integers(0, 99))
def test_expanded_neighbours_equal_sets(total, k1, rows, seed):
    places = np.random.default_rng(seed).random((total, 2))
    ranking = np.argsort(((places[:, None] - places[None]) ** 2).sum(2), axis=1)[:, : k1 + 3].astype(np.int32)
    found: list[set[int]] = []
    for first, part in expanded_neighbours(ranking, k1, rows):
        assert first == len(found)
        for row in range(part.shape[0]):
            indices = part.indices[part.indptr[row] : part.indptr[row + 1]].tolist()
            assert indices == sorted(set(indices))
            found.append(set(indices))
    for image in range(total):
        own = slow_reciprocal(ranking, image, k1 + 1)
        expected = set(own)
        for other in own:
            its = slow_reciprocal(ranking, other, round(k1 / 2) + 1)
            if 3 * len(its & own) > 2 * len(its):
                expected |= its
        assert found[image] == expected


def test_reciprocal_by_hand():
    """Image 0 is nearest to 1, but 1 is nearest to 2."""
    ranking = np.array([[0, 1], [1, 2], [2, 1]], dtype=np.int32)
    assert reciprocal(ranking).toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
