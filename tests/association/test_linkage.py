"""Average linkage with cannot-link, against trying all pairs of groups."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ccafl_plugin.association.linkage import average_linkage


def slow_linkage(margins: NDArray, cameras: list[int]) -> list[int]:
    groups = [[proxy] for proxy in range(len(cameras))]
    while True:
        offers = []
        for g, h in combinations(sorted(groups), 2):
            if not {cameras[a] for a in g} & {cameras[b] for b in h}:
                between = [margins[a, b] for a in g for b in h]
                offers.append((-math.fsum(between) / len(between), g, h))
        if not offers or min(offers)[0] >= 0:
            return [min(group) for proxy in range(len(cameras)) for group in groups if proxy in group]
        _, g, h = min(offers)
        groups = [group for group in groups if group not in (g, h)] + [sorted(g + h)]


def link(margins: NDArray, cameras: list[int]) -> list[int]:
    camera = np.array(cameras, dtype=np.int64)
    first, second = np.nonzero(np.triu(margins > 0) & (camera[:, None] != camera))

    def others(a: NDArray, b: NDArray) -> NDArray:
        assert (camera[a] != camera[b]).all()
        assert (margins[a, b] <= 0).all()
        return margins[a, b]

    return average_linkage(first, second, margins[first, second], camera, others)


@pytest.mark.parametrize("coarse", [False, True])
@given(n=st.integers(0, 12), cameras=st.integers(1, 6), shift=st.floats(-1, 2), seed=st.integers(0, 2**31))
def test_equals_trying_all_pairs_of_groups(coarse: bool, n: int, cameras: int, shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    half = np.triu(rng.standard_normal((n, n)) + shift, 1)
    margins = (half + half.T).round() if coarse else half + half.T
    seen_by = rng.integers(0, cameras, n).tolist()
    assert link(margins, seen_by) == slow_linkage(margins, seen_by)


def table(total: int, **values: float) -> NDArray:
    """Margins by pair: ``p01=2`` is that of proxies 0 and 1; all others are -1."""
    margins = np.full((total, total), -1.0)
    for pair, value in values.items():
        a, b = int(pair[1]), int(pair[2])
        margins[a, b] = margins[b, a] = value
    return margins


def test_the_mean_over_all_pairs_counts() -> None:
    """0 and 1 attract each other most; 2 is drawn to 0 only, by more or by less than 1 repels it."""
    assert link(table(3, p01=3, p02=1.5), [0, 1, 2]) == [0, 0, 0]
    assert link(table(3, p01=3, p02=1), [0, 1, 2]) == [0, 0, 2]  # a mean of exactly 0
    assert link(table(3, p01=3, p02=0.5), [0, 1, 2]) == [0, 0, 2]


def test_groups_with_a_common_camera_are_never_merged() -> None:
    margins = table(4, p01=3, p12=2, p23=1)
    assert link(margins, [0, 1, 0, 2]) == [0, 0, 2, 2]
    assert link(margins, [0, 1, 0, 1]) == [0, 0, 2, 2]
    assert link(table(4, p12=4, p01=3, p13=2.9), [0, 1, 2, 0]) == [0, 0, 0, 3]


def test_a_mean_that_was_not_above_0_may_become_so() -> None:
    """{0, 1} and 2 have mean -0.1; with 3, which both attract, the mean between {0, 1} and {2, 3} is above 0."""
    margins = table(4, p01=5, p02=0.8, p23=4, p03=3, p13=3)
    assert link(margins, [0, 1, 2, 3]) == [0, 0, 0, 0]


def test_ties_go_to_the_lowest_proxies() -> None:
    assert link(table(3, p01=1, p12=1), [0, 1, 0]) == [0, 0, 2]
    assert link(table(4, p03=1, p12=1, p02=1), [0, 1, 1, 1]) == [0, 1, 0, 3]
    # {0, 3} is made first; its lowest proxy then wins the tie for 2 against 1, made in between.
    assert link(table(4, p03=2, p23=1, p02=1, p12=1), [0, 0, 1, 2]) == [0, 1, 0, 0]


@pytest.mark.parametrize("order", list(permutations([1.0, 2.0**-60, -1.0])))
def test_sums_are_exact(order: tuple[float, ...]) -> None:
    """Added in float64, 1 + 2^-60 - 1 is 0."""
    margins = table(4, p01=2, p02=2, p12=2)
    margins[3, :3] = margins[:3, 3] = order
    assert link(margins, [0, 1, 2, 3]) == [0, 0, 0, 0]
