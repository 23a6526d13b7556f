"""Mean and spread over seeds, and differences over pairs of runs with the same seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Spread(NamedTuple):
    """What several seeds gave."""

    mean: float
    deviation: float | None  # of the sample (n - 1); None for one seed
    seeds: int


class Difference(NamedTuple):
    """How much one row is above another, over the seeds that both have."""

    mean: float
    low: float | None  # the interval's ends; None for one pair
    high: float | None
    seeds: int


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and standard deviation; None for no value."""
    values = list(values)
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def paired_difference(
    values: Mapping[int, float], others: Mapping[int, float], confidence: float = 0.95
) -> Difference | None:
    """Mean of ``values - others`` over the seeds in both, with Student's interval for the mean of paired differences.

    The interval takes the differences as independent draws from a normal distribution; with few seeds it is wide, and
    it says nothing about other datasets or settings.

    Args:
        values: seed -> score.
        others: seed -> score.
        confidence: of the interval.

    Returns:
        None if no seed is in both.
    """
    from scipy.stats import t as student  # takes a second to import

    differences = [values[seed] - others[seed] for seed in sorted(values.keys() & others.keys())]
    found = spread(differences)
    if found is None:
        return None
    if found.deviation is None:
        return Difference(found.mean, None, None, found.seeds)
    half = float(student.ppf((1 + confidence) / 2, found.seeds - 1)) * found.deviation / math.sqrt(found.seeds)
    return Difference(found.mean, found.mean - half, found.mean + half, found.seeds)
