"""Scores of pairs of images with a label "same person" or "different people", where there is no query and gallery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError

FALSE_ACCEPT_RATES = (0.1, 0.01, 0.001)
"""The false-accept rates that are reported, as far as there are enough different pairs."""


@dataclass(frozen=True)
class AcceptRate:
    """How many same pairs are accepted if at most a given share of the different pairs is.

    Attributes:
        false_accept_rate: the allowed share of different pairs.
        accept_rate: share of same pairs whose similarity is above ``threshold``.
        threshold: the smallest similarity of a different pair at which the allowed share is kept by accepting only
            what is above it.
    """

    false_accept_rate: float
    accept_rate: float
    threshold: float


def pair_auc(same: Tensor, different: Tensor) -> float:
    """Area under the ROC curve: the share of (same, different) combinations in which the same pair is more similar.

    Equal similarities count one half. It needs O((S + D) log D) time, no (S, D) matrix.

    Args:
        same: (S,) float, similarities of pairs of one person.
        different: (D,) float, similarities of pairs of two people.

    Returns:
        The area in [0, 1]; 0.5 for similarities that say nothing.

    Raises:
        CCAFLError: one of the two is empty, or a similarity is not finite.
    """
    _check(same, different)
    ordered = different.double().sort().values
    values = same.double()
    below = torch.searchsorted(ordered, values, right=False)
    up_to = torch.searchsorted(ordered, values, right=True)
    return float((below + up_to).double().mean()) / (2 * len(ordered))


def accept_rates(
    same: Tensor, different: Tensor, false_accept_rates: Sequence[float] = FALSE_ACCEPT_RATES
) -> list[AcceptRate]:
    """Accept rates of same pairs at given false-accept rates.

    Rates below 1 / D are left out: with D different pairs, they can't be told from 0.

    Args:
        same: (S,) float, similarities of pairs of one person.
        different: (D,) float, similarities of pairs of two people.
        false_accept_rates: each in (0, 1).

    Returns:
        In the order of ``false_accept_rates``.

    Raises:
        CCAFLError: one of the two is empty, a similarity is not finite, or a rate is out of range.
    """
    _check(same, different)
    for rate in false_accept_rates:
        if not 0 < rate < 1:
            raise CCAFLError(f"false_accept_rates: {rate:g} is out of range, it must be above 0 and below 1.")
    ordered = different.double().sort(descending=True).values
    found = []
    for rate in false_accept_rates:
        allowed = math.floor(rate * len(ordered) + 1e-9)  # 0.29 * 100 is 28.999999999999996
        if allowed:
            threshold = ordered[allowed]
            found.append(AcceptRate(rate, float((same.double() > threshold).double().mean()), float(threshold)))
    return found


def _check(same: Tensor, different: Tensor) -> None:
    for name, values in (("same", same), ("different", different)):
        if not len(values):
            raise CCAFLError(f"{name}: there is no pair; pairs of both kinds are needed.")
        if not bool(torch.isfinite(values).all()):
            raise CCAFLError(f"{name}: a similarity is not a finite number; the features are not.")
