"""Positions in a sorted row, without sorting it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SORTED_FROM = 400  # places from which sorting the row costs less than counting for each


def stable_ranks(row: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places' positions in a stable sort of a row, by counting.

    Args:
        row: (G,) numbers.
        places: (k,) places in it.

    Returns:
        (k,) positions from 0.
    """
    values = row[places]
    if len(places) >= SORTED_FROM or np.isnan(values).any():  # NaN is last in a sort but compares as False
        ranks = np.empty(len(row), dtype=np.int64)
        ranks[np.argsort(row, kind="stable")] = np.arange(len(row))
        return ranks[places]
    before = np.empty(len(row), dtype=bool)
    counts = []
    for place, value in zip(places.tolist(), values, strict=True):
        np.less_equal(row[:place], value, out=before[:place])
        np.less(row[place:], value, out=before[place:])
        counts.append(np.count_nonzero(before))
    return np.array(counts, dtype=np.int64)
