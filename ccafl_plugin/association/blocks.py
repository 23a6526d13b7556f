"""Blocks of the similarities between proxies of different cameras, in place of a matrix of all pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_ELEMENTS = 1 << 21  # similarities held at once, 8 MB in float32
BLOCK_ROWS = 256  # but at least as many rows: fewer would read all features for too little work


def cross_camera_blocks(cameras: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of blocks that hold every pair of proxies of different cameras exactly once.

    The columns of a block are all proxies of later cameras than that of its first row. A block ends with its first
    row's camera, so that it holds nothing else, unless that leaves it fewer rows than ``BLOCK_ROWS``.

    Args:
        cameras: (N,) int64, in rising order.

    Yields:
        Rows and columns, as places in the order of cameras.
    """
    ends = np.searchsorted(cameras, cameras, side="right").tolist()  # first place behind each proxy's camera
    total, start = len(cameras), 0
    while start < total and (begin := ends[start]) < total:
        rows_left = begin - start
        most = max(BLOCK_ROWS, BLOCK_ELEMENTS // (total - begin))
        even = -(-rows_left // -(-rows_left // most))  # blocks of about one size, none a small rest
        stop = min(total, start + max(BLOCK_ROWS, even))
        yield slice(start, stop), slice(begin, total)
        start = stop


def chunks(total: int, size: int) -> list[slice]:
    """``total`` things in pieces of ``size``, which counts as 1 if it is less."""
    size = max(1, size)
    return [slice(first, first + size) for first in range(0, total, size)]
