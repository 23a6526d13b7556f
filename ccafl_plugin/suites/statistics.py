"""Mean and spread over seeds, and differences over pairs of runs with the same seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Spread(NamedTuple):
    """Mean and standard deviation over seeds."""

    mean: float
    deviation: float | None  # of the sample (n - 1); None for one seed
    seeds: int


class Difference(NamedTuple):
    """Mean difference between two rows, over the seeds that both have."""

    mean: float
    low: float | None  # ends of the interval; None for one pair
    high: float | None
    seeds: int


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and standard deviation; None if there is no value."""
    values = list(values)
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def paired_difference(
    values: Mapping[int, float], others: Mapping[int, float], confidence: float = 0.95
) -> Difference | None:
    """Mean of ``values - others`` over the seeds in both, with Student's interval for the mean of paired differences.

    The interval assumes that the differences are independent draws from a normal distribution. With few seeds it is
    wide. It says nothing about other datasets or settings.

    Args:
        values: seed -> score.
        others: seed -> score.
        confidence: confidence level of the interval.

    Returns:
        The difference; None if no seed is in both.
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
