"""The expectation of a random ranking, against all orders of small galleries."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccafl_plugin.metrics.random_ranking import random_ranking
from ccafl_plugin.metrics.rank import NoValidQuery, evaluate_rank


def over_all_orders(queries, gallery, ranks):
    """CMC and mAP by writing out every order of the gallery for every query."""
    found, precisions = [], []
    for pid, camera in queries:
        counted = [other == pid for other, seen in gallery if (other, seen) != (pid, camera)]
        if not any(counted):
            continue
        orders = list(itertools.permutations(counted))
        total, hits = Fraction(0), [Fraction(0)] * ranks
        for order in orders:
            right = [place for place, match in enumerate(order, start=1) if match]
            total += sum(Fraction(number, place) for number, place in enumerate(right, start=1)) / len(right)
            hits = [hit + (right[0] <= rank) for rank, hit in enumerate(hits, start=1)]
        precisions.append(total / len(orders))
        found.append([hit / len(orders) for hit in hits])
    return [sum(column) / len(found) for column in zip(*found, strict=True)], sum(precisions) / len(precisions)


IMAGES = st.tuples(st.integers(0, 2), st.integers(0, 2))


@settings(deadline=None, max_examples=40)
@given(queries=st.lists(IMAGES, min_size=1, max_size=4), gallery=st.lists(IMAGES, min_size=1, max_size=6))
def test_equals_all_orders(queries, gallery):
    labels = [[image[part] for image in images] for part in (0, 1) for images in (queries, gallery)]
    if not any(pid == other and camera != seen for pid, camera in queries for other, seen in gallery):
        with pytest.raises(NoValidQuery):
            random_ranking(*labels)
        return
    cmc, precision = random_ranking(*labels, max_rank=7)
    expected, mean = over_all_orders(queries, gallery, 7)
    assert cmc == pytest.approx([float(value) for value in expected], rel=1e-12)
    assert precision == pytest.approx(float(mean), rel=1e-12)


def test_one_match_among_two():
    cmc, precision = random_ranking([7], [7, 8], [0], [1, 1], max_rank=2)
    assert cmc.tolist() == [0.5, 1.0]
    assert precision == 0.75  # first or second, at precision 1 or 1/2


def test_is_the_mean_of_the_evaluator():
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 5, 20), rng.integers(0, 5, 40), rng.integers(0, 3, 20), rng.integers(0, 3, 40)]
    runs = [evaluate_rank(rng.random((20, 40)), *labels, max_rank=10) for _ in range(400)]
    cmc, precision = random_ranking(*labels, max_rank=10)
    assert np.mean([mean for _, mean in runs]) == pytest.approx(precision, abs=0.005)
    assert np.mean([curve for curve, _ in runs], axis=0) == pytest.approx(cmc, abs=0.02)
