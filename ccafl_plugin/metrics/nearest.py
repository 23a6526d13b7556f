"""Finds the smallest numbers of a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUP = 64  # size of a group of numbers; the smallest of each group is used to find a bound


def nearest(row: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The first ``count`` positions of a stable sort of a row.

    Args:
        row: (N,) numbers without NaN.
        count: at least 1.

    Returns:
        (min(count, N),) positions, the smallest number first, ties by position.
    """
    width = len(row) // GROUP
    if width > count:
        # The count-th smallest of some numbers is never below the count-th smallest of all numbers.
        sample = row[: width * GROUP].reshape(GROUP, width).min(axis=0)
        candidates = np.flatnonzero(row <= np.partition(sample, count - 1)[count - 1])
    else:
        candidates = np.arange(len(row))
    return candidates[np.argsort(row[candidates], kind="stable")[:count]]
