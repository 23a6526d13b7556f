"""Pair precision and recall, against listing the pairs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.association import pair_scores
from ccafl_plugin.utils.errors import CCAFLError
from tests.losses.problems import labels


@given(n=st.integers(0, 15), seed=st.integers(0, 2**31))
def test_equals_listing_the_pairs(n: int, seed: int) -> None:
    pseudo, cameras, persons = labels(n, 3, seed, lowest=-1), labels(n, 3, seed + 1), labels(n, 4, seed + 2)
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n) if cameras[a] != cameras[b]]
    found = {(a, b) for a, b in pairs if pseudo[a] == pseudo[b] and pseudo[a] >= 0}
    true = {(a, b) for a, b in pairs if persons[a] == persons[b]}
    scores = pair_scores(pseudo, cameras, persons)
    assert scores.num_pairs == len(found)
    assert scores.num_true_pairs == len(true)
    right = len(found & true)
    assert scores.precision == (right / len(found) if found else 0.0)
    assert scores.recall == (right / len(true) if true else 0.0)
    assert scores.f1 == pytest.approx(2 * right / (len(found) + len(true)) if right else 0.0)


def test_by_hand() -> None:
    """One pair right, one wrong, one missed; two proxies of one camera in a group are no pair."""
    scores = pair_scores(
        torch.tensor([0, 0, 1, 1, 1, -1]), torch.tensor([0, 1, 0, 1, 0, 1]), torch.tensor([7, 7, 8, 9, 9, 8])
    )
    assert scores == (2 / 3, 2 / 3, 3, 3)


def test_different_lengths_are_an_error() -> None:
    with pytest.raises(CCAFLError, match="must have one entry per proxy"):
        pair_scores(torch.zeros(2), torch.zeros(2), torch.zeros(3))
