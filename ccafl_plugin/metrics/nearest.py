"""The smallest numbers of a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUP = 64  # numbers of which only the smallest takes part in finding a bound


def nearest(row: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The first ``count`` places of a stable sort of a row.

    Args:
        row: (N,) numbers without NaN.
        count: at least 1.

    Returns:
        (min(count, N),) places, the smallest number first, ties by place.
    """
    width = len(row) // GROUP
    if width > count:
        # The count-th smallest of some numbers is not below the count-th smallest of all.
        sample = row[: width * GROUP].reshape(GROUP, width).min(axis=0)
        candidates = np.flatnonzero(row <= np.partition(sample, count - 1)[count - 1])
    else:
        candidates = np.arange(len(row))
    return candidates[np.argsort(row[candidates], kind="stable")[:count]]
