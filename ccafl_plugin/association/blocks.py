"""Splits the similarities between proxies of different cameras into blocks, instead of one matrix of all pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.utils.progress import watched

BLOCK_ELEMENTS = 1 << 21  # similarities held at once, 8 MB in float32
BLOCK_ROWS = 256  # smallest number of rows: with fewer, reading all features would cost more than the product


def cross_camera_blocks(cameras: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of blocks that contain every pair of proxies of different cameras exactly once.

    The columns of a block are all proxies of cameras after the camera of its first row. A block ends with the camera of
    its first row, so that it contains no other pairs, unless it would have fewer rows than ``BLOCK_ROWS``.

    Args:
        cameras: (N,) int64, ascending.

    Yields:
        Rows and columns, as positions in the order of cameras.
    """
    ends = np.searchsorted(cameras, cameras, side="right").tolist()  # position after each proxy's camera
    total, start = len(cameras), 0
    while start < total and (begin := ends[start]) < total:
        rows_left = begin - start
        most = max(BLOCK_ROWS, BLOCK_ELEMENTS // (total - begin))
        even = -(-rows_left // -(-rows_left // most))  # blocks of about equal size, without a small last one
        stop = min(total, start + max(BLOCK_ROWS, even))
        yield slice(start, stop), slice(begin, total)
        start = stop


def watched_blocks(cameras: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """:func:`cross_camera_blocks` with a bar that counts the similarities."""
    blocks = list(cross_camera_blocks(cameras))
    return watched(blocks, sum(map(_size, blocks)), "pairs", "Association", _size)


def _size(block: tuple[slice, slice]) -> int:
    rows, columns = block
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def chunks(total: int, size: int) -> list[slice]:
    """Splits ``total`` items into slices of ``size`` items; a size below 1 counts as 1."""
    size = max(1, size)
    return [slice(first, first + size) for first in range(0, total, size)]
