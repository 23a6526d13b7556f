"""Rankings are those of the evaluation, and the chosen queries have its mix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.metrics import rank_scores
from ccafl_plugin.report.ranked_queries import SHOWN, RankedQueries, chosen_queries
from ccafl_plugin.report.rebuilt_run import TestImages as Images


def some(queries: int, gallery: int, seed: int) -> tuple[np.ndarray, Images]:
    """Distances with ties, and labels."""
    rng = np.random.default_rng(seed)
    count = queries + gallery
    persons, cameras = rng.integers(0, 4, count), rng.integers(0, 3, count)
    distances = rng.integers(0, 30, (queries, gallery)).astype(np.float32)
    return distances, Images("x", tuple(map(str, range(count))), persons, cameras, queries)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31))
def test_rankings_equal_a_slow_walk(queries: int, gallery: int, seed: int) -> None:
    distances, images = some(queries, gallery, seed)
    ranked = RankedQueries(distances, images)
    for query in range(queries):
        order = sorted(range(gallery), key=lambda place: (distances[query, place], place))
        kept = []
        for place in (queries + place for place in order):
            same = images.persons[place] == images.persons[query]
            if not (same and images.cameras[place] == images.cameras[query]):
                kept.append((place, bool(same)))
        right = [place for place, (_, same) in enumerate(kept) if same]
        assert ranked.first[query] == (right[0] if right else -1)
        assert [place for place in ranked.top[query].tolist() if place >= 0] == [place for place, _ in kept[:SHOWN]]


def test_the_curve_is_that_of_the_evaluation() -> None:
    distances, images = some(60, 300, 5)
    labels = [x for each in (images.persons, images.cameras) for x in (each[:60], each[60:])]
    expected = rank_scores(distances, *labels, max_rank=50).cmc
    np.testing.assert_allclose(RankedQueries(distances, images).curve(), expected, atol=1e-6)


@given(st.lists(st.integers(-1, 60), min_size=1, max_size=300), st.integers(1, 50), st.integers(0, 1000))
def test_the_mix_of_the_chosen_is_that_of_all(first: list[int], count: int, seed: int) -> None:
    places = np.array(first)
    chosen = chosen_queries(places, count, seed)
    valid = places[places >= 0]
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(valid))
    assert (places[chosen] >= 0).all()
    assert (np.diff(places[chosen]) >= 0).all()
    for rank in range(61):
        if len(chosen):
            assert abs((places[chosen] <= rank).mean() - (valid <= rank).mean()) < 1 / len(chosen)


def test_equal_ranks_are_drawn_from_all() -> None:
    """Not always the first queries of the list, which are of one person."""
    chosen = chosen_queries(np.zeros(5000, dtype=np.int64), 40)
    assert chosen.min() < 1000 and chosen.max() > 4000
    assert chosen.tolist() != sorted(chosen.tolist())


@pytest.mark.parametrize("count", [1, 40])
def test_five_thousand_queries_give_no_more_rows(count: int) -> None:
    assert len(chosen_queries(np.arange(5000) % 300, count)) == count
