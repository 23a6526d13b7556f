"""ROC figures of labelled pairs against loops, and answers that a human can see."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.metrics.verification import accept_rates, pair_auc
from ccafl_plugin.utils.errors import CCAFLError

# Few distinct values, so that many are equal.
similarities = st.lists(st.integers(-4, 4).map(lambda number: number / 4), min_size=1, max_size=30)


@given(same=similarities, different=similarities)
def test_auc_equals_counting_all_combinations(same: list[float], different: list[float]) -> None:
    slow = sum((s > d) + 0.5 * (s == d) for s in same for d in different) / (len(same) * len(different))
    assert pair_auc(torch.tensor(same), torch.tensor(different)) == pytest.approx(slow, abs=1e-12)


@given(same=similarities, different=similarities, rate=st.sampled_from([0.001, 0.05, 0.1, 0.29, 0.5, 0.99]))
def test_accept_rate_equals_trying_every_threshold(same: list[float], different: list[float], rate: float) -> None:
    found = accept_rates(torch.tensor(same), torch.tensor(different), [rate])
    if rate * len(different) < 1:
        assert found == []
        return
    best = 0.0
    for threshold in {*same, *different, -math.inf}:
        falsely = sum(d > threshold for d in different)
        if falsely <= rate * len(different) + 1e-9:
            best = max(best, sum(s > threshold for s in same) / len(same))
    assert found[0].accept_rate == pytest.approx(best, abs=1e-12)
    assert sum(d > found[0].threshold for d in different) <= rate * len(different) + 1e-9
    assert sum(s > found[0].threshold for s in same) / len(same) == pytest.approx(best, abs=1e-12)


def test_answers_that_can_be_seen() -> None:
    perfect = torch.tensor([0.9, 0.8]), torch.arange(10) / 20
    assert pair_auc(*perfect) == 1
    assert [rate.accept_rate for rate in accept_rates(*perfect)] == [1.0]  # ten pairs tell 10 % only
    assert pair_auc(torch.zeros(3), torch.zeros(4)) == 0.5
    half = accept_rates(torch.tensor([0.0, 1.0]), torch.tensor([0.5] * 100))
    assert [(rate.false_accept_rate, rate.accept_rate) for rate in half] == [(0.1, 0.5), (0.01, 0.5)]


@pytest.mark.parametrize(
    ("same", "different", "rate", "message"),
    [
        ([], [0.1], 0.1, "same: there is no pair"),
        ([0.1], [], 0.1, "different: there is no pair"),
        ([0.1], [math.nan], 0.1, "different: a similarity is not a finite number"),
        ([0.1], [0.1], 1.0, "false_accept_rates: 1 is out of range"),
    ],
)
def test_mistakes(same: list[float], different: list[float], rate: float, message: str) -> None:
    with pytest.raises(CCAFLError, match=message):
        accept_rates(torch.tensor(same), torch.tensor(different), [rate])
