"""Finds each proxy's two highest cosines in every other camera, exactly and without a matrix of all pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.association.blocks import chunks, cross_camera_blocks

REFINED_AT_ONCE = 1 << 18  # elements of products held at once, 2 MB, so that they stay in the cache


class BestMatches(NamedTuple):
    """The mean of the two highest cosines per camera, and the best matches that have no tie in their camera."""

    mean_of_two: NDArray[np.float64]  # (N, C) mean of the two highest; the only one if there is one; -inf: own camera
    a: NDArray[np.int64]  # (P,) proxy with a best match without tie in some camera
    b: NDArray[np.int64]  # (P,) this best match
    cosine: NDArray[np.float64]  # (P,) cosine of the two


def cosines(unit: NDArray[np.float64], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Products of rows a with rows b, summed by ``numpy.sum``: a matrix product may give equal rows unequal results.

    Args:
        unit: (N, D) float64, rows of length 1.
        a, b: (P,) int64.

    Returns:
        (P,) float64.
    """
    values = np.empty(len(a))
    dim = unit.shape[1]
    size = min(len(a), max(1, REFINED_AT_ONCE // dim))
    left, right = np.empty((2, size, dim))  # reused: new memory for each piece would cost more than the products
    for some in chunks(len(a), size):
        n = len(values[some])  # mode="clip" below: with the default mode, take copies its result once more
        unit.take(a[some], axis=0, out=left[:n], mode="clip")
        unit.take(b[some], axis=0, out=right[:n], mode="clip")
        np.multiply(left[:n], right[:n], out=left[:n]).sum(axis=1, out=values[some])
    return values


def best_matches(unit: NDArray[np.float64], camera: NDArray[np.int64]) -> BestMatches:
    """Finds the two highest :func:`cosines` of each proxy with the proxies of each other camera.

    A blockwise product in float32, whose rounding error is bounded, excludes pairs that cannot be among the two highest
    of either proxy. Exact cosines are computed for the other pairs only.

    Args:
        unit: (N, D) float64, rows of length 1 (or 0), N > 0.
        camera: (N,) int64, cameras 0 to C - 1; each has a proxy.
    """
    order = np.argsort(camera, kind="stable")
    cameras = camera[order]
    ends = np.cumsum(np.bincount(camera)).tolist()
    total, dim = unit.shape
    narrow = np.empty((total, dim), dtype=np.float32)
    for some in chunks(total, REFINED_AT_ONCE // dim):
        narrow[some] = unit[order[some]]
    # The product of two rows of length 1 has an error of at most D u from adding in any order, and a few u from
    # rounding the rows to float32 and from the float64 cosines. Doubled, because both compared cosines have an error.
    slack = 2 * (1.1 * dim + 20) * float(np.finfo(np.float32).eps) / 2
    best = _TwoHighest(total, len(ends))
    for block_rows, block_columns in cross_camera_blocks(cameras):
        close = narrow[block_rows] @ narrow[block_columns].T
        begin = block_columns.start
        rows, columns = _candidates(close, cameras[block_rows], begin, ends, best.second[block_columns], slack)
        rows, columns = rows + block_rows.start, columns + begin
        cosine = cosines(unit, order[rows], order[columns])
        best.add(rows, columns, cameras[columns], cosine)
        best.add(columns, rows, cameras[rows], cosine)
    return best.matches(order)


def _candidates(
    close: NDArray[np.float32],
    cameras: NDArray[np.int64],
    begin: int,
    ends: list[int],
    known: NDArray[np.float64],
    slack: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Entries of a block that may be one of the two highest cosines of a row, or of a column, in a camera.

    Args:
        close: the block; entries that are not a row with a column of a later camera are set to -inf.
        cameras: cameras of the rows, ascending.
        begin: position of the first column among all proxies, sorted by camera.
        ends: position after the last proxy of each camera.
        known: (columns, C) lower bound of the second highest cosine of a column in a camera.
        slack: how much smaller a pair's value may be than another pair's although its cosine is as high.

    Returns:
        Rows and columns of the candidates.
    """
    lowest = np.finfo(close.dtype).min
    near = np.zeros(close.shape, dtype=bool)
    present = np.unique(cameras).tolist()
    parts = [slice(*np.searchsorted(cameras, [c, c + 1]).tolist()) for c in present]
    for c, rows in zip(present, parts, strict=True):
        close[rows, : ends[c] - begin] = -np.inf
    for c in range(present[0] + 1, len(ends)):
        columns = slice(ends[c - 1] - begin, ends[c] - begin)
        limit = np.maximum(_second_of_rows(close[:, columns]) - slack, lowest)
        near[:, columns] = close[:, columns] >= limit[:, None]
    for c, rows in zip(present, parts, strict=True):
        limit = np.maximum(_second_of_columns(close[rows]), known[:, c]) - slack
        near[rows] |= close[rows] >= np.maximum(limit, lowest).astype(close.dtype)
    return np.divmod(np.flatnonzero(near), close.shape[1])


def _second_of_rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The second highest value of each row; -inf if there is one column only."""
    rows, best = np.arange(len(values)), values.argmax(axis=1)
    highest = values[rows, best]
    values[rows, best] = -np.inf
    second: NDArray[np.float32] = values.max(axis=1)
    values[rows, best] = highest
    return second


def _second_of_columns(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The second highest value of each column; -inf if there is one row only."""
    highest, second, lower = (np.full(values.shape[1], -np.inf, dtype=values.dtype) for _ in range(3))
    for row in values:
        np.minimum(highest, row, out=lower)
        np.maximum(highest, row, out=highest)
        np.maximum(second, lower, out=second)
    return second


class _TwoHighest:
    """Keeps the two highest cosines of each proxy in each camera among those that were added."""

    def __init__(self, num_proxies: int, num_cameras: int) -> None:
        self.highest, self.second = np.full((2, num_proxies, num_cameras), -np.inf)
        self.partner = np.zeros((num_proxies, num_cameras), dtype=np.int64)  # the proxy with the highest cosine

    def add(
        self, a: NDArray[np.int64], b: NDArray[np.int64], camera: NDArray[np.int64], cosine: NDArray[np.float64]
    ) -> None:
        """Adds the cosines of ``a`` with ``b`` of ``camera``; no pair may be added twice."""
        ranks = np.lexsort((-cosine, camera, a))
        a, b, camera, cosine = a[ranks], b[ranks], camera[ranks], cosine[ranks]
        starts = np.ones(len(a) + 1, dtype=bool)  # where the partners of one a in one camera start, and the end
        starts[1:-1] = (a[1:] != a[:-1]) | (camera[1:] != camera[:-1])
        best = np.flatnonzero(starts[:-1])
        runner_up = np.where(starts[best + 1], -np.inf, cosine[best + ~starts[best + 1]])
        place = a[best], camera[best]
        old, new = self.highest[place], cosine[best]
        self.second[place] = np.maximum(np.minimum(old, new), np.maximum(self.second[place], runner_up))
        self.partner[place] = np.where(new > old, b[best], self.partner[place])
        self.highest[place] = np.maximum(old, new)

    def matches(self, names: NDArray[np.int64]) -> BestMatches:
        """The result after all cosines were added; ``names`` are the numbers of the proxies in the result."""
        mean_of_two = np.empty_like(self.highest)
        mean_of_two[names] = np.where(self.second > -np.inf, (self.highest + self.second) / 2, self.highest)
        a, camera = np.nonzero((self.highest > self.second) & (self.second > -np.inf))
        return BestMatches(mean_of_two, names[a], names[self.partner[a, camera]], self.highest[a, camera])
