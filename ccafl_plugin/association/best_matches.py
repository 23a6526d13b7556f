"""Finds each proxy's highest cosines in every other camera, exactly and without a matrix of all pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.association.blocks import chunks, watched_blocks

REFINED_AT_ONCE = 1 << 18  # elements of products held at once, 2 MB, so that they stay in the cache

BEST = 2
"""Highest cosines that a match has to exceed on average (docs/method.md, margin)."""


class BestMatches(NamedTuple):
    """The mean of the highest cosines per camera, and the matches whose cosine is above the lowest of these."""

    mean: NDArray[np.float64]  # (N, C) mean of the highest cosines, of all if there are fewer; -inf: own camera
    a: NDArray[np.int64]  # (P,) proxy with a match above the lowest of its highest cosines in some camera
    b: NDArray[np.int64]  # (P,) this match
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


def best_matches(unit: NDArray[np.float64], camera: NDArray[np.int64], best: int = BEST) -> BestMatches:
    """Finds the highest :func:`cosines` of each proxy with the proxies of each other camera.

    A blockwise product in float32, whose rounding error is bounded, excludes pairs that cannot be among the highest
    of either proxy. Exact cosines are computed for the other pairs only.

    Args:
        unit: (N, D) float64, rows of length 1 (or 0), N > 0.
        camera: (N,) int64, cameras 0 to C - 1; each has a proxy.
        best: number of highest cosines per camera, at least 2.
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
    highest = HighestCosines(total, len(ends), best)
    for block_rows, block_columns in watched_blocks(cameras):
        close = narrow[block_rows] @ narrow[block_columns].T
        begin = block_columns.start
        known = highest.cosine[block_columns, :, -1]
        rows, columns = _candidates(close, cameras[block_rows], begin, ends, known, slack, best)
        rows, columns = rows + block_rows.start, columns + begin
        cosine = cosines(unit, order[rows], order[columns])
        highest.add(rows, columns, cameras[columns], cosine)
        highest.add(columns, rows, cameras[rows], cosine)
    return highest.matches(order)


def _candidates(
    close: NDArray[np.float32],
    cameras: NDArray[np.int64],
    begin: int,
    ends: list[int],
    known: NDArray[np.float64],
    slack: float,
    best: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Entries of a block that may be one of the highest cosines of a row, or of a column, in a camera.

    Args:
        close: the block; entries that are not a row with a column of a later camera are set to -inf.
        cameras: cameras of the rows, ascending.
        begin: position of the first column among all proxies, sorted by camera.
        ends: position after the last proxy of each camera.
        known: (columns, C) lower bound of the lowest of the highest cosines of a column in a camera.
        slack: how much smaller a pair's value may be than another pair's although its cosine is as high.
        best: number of highest cosines.

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
        limit = np.maximum(lowest_of_rows(close[:, columns], best) - slack, lowest)
        near[:, columns] = close[:, columns] >= limit[:, None]
    for c, rows in zip(present, parts, strict=True):
        limit = np.maximum(_lowest_of_columns(close[rows], best), known[:, c]) - slack
        near[rows] |= close[rows] >= np.maximum(limit, lowest).astype(close.dtype)
    return np.divmod(np.flatnonzero(near), close.shape[1])


def lowest_of_rows(values: NDArray[np.float32], best: int) -> NDArray[np.float32]:
    """The lowest of the ``best`` highest values of each row; -inf if there are fewer columns."""
    rows, taken = np.arange(len(values)), []
    for _ in range(best - 1):
        place = values.argmax(axis=1)
        taken.append((place, values[rows, place]))
        values[rows, place] = -np.inf
    lowest: NDArray[np.float32] = values.max(axis=1)
    for place, highest in reversed(taken):  # the first entry of a place that was taken twice is the true one
        values[rows, place] = highest
    return lowest


def _lowest_of_columns(values: NDArray[np.float32], best: int) -> NDArray[np.float32]:
    """The lowest of the ``best`` highest values of each column; -inf if there are fewer rows."""
    highest = np.full((best, values.shape[1]), -np.inf, dtype=values.dtype)
    rests = np.empty((best - 1, values.shape[1]), dtype=values.dtype)
    for row in values:
        lower = row
        for level, rest in zip(highest[:-1], rests, strict=True):
            np.minimum(level, lower, out=rest)
            np.maximum(level, lower, out=level)
            lower = rest
        np.maximum(highest[-1], lower, out=highest[-1])
    lowest: NDArray[np.float32] = highest[-1]
    return lowest


class HighestCosines:
    """Keeps the highest cosines of each proxy in each camera among those that were added, in descending order."""

    def __init__(self, num_proxies: int, num_cameras: int, best: int) -> None:
        self.cosine = np.full((num_proxies, num_cameras, best), -np.inf)
        self.partner = np.zeros((num_proxies, num_cameras, best), dtype=np.int64)

    def add(
        self, a: NDArray[np.int64], b: NDArray[np.int64], camera: NDArray[np.int64], cosine: NDArray[np.float64]
    ) -> None:
        """Adds the cosines of ``a`` with ``b`` of ``camera``; no pair may be added twice."""
        best = self.cosine.shape[2]
        ranks = np.lexsort((-cosine, camera, a))
        a, b, camera, cosine = a[ranks], b[ranks], camera[ranks], cosine[ranks]
        starts = np.ones(len(a), dtype=bool)  # where the partners of one a in one camera start
        starts[1:] = (a[1:] != a[:-1]) | (camera[1:] != camera[:-1])
        first, group = np.flatnonzero(starts), starts.cumsum() - 1
        rank = np.arange(len(a)) - first[group]
        kept = rank < best
        place = a[first], camera[first]
        cosines, partners = np.full((len(first), 2 * best), -np.inf), np.zeros((len(first), 2 * best), dtype=np.int64)
        cosines[:, :best], partners[:, :best] = self.cosine[place], self.partner[place]
        cosines[group[kept], best + rank[kept]] = cosine[kept]
        partners[group[kept], best + rank[kept]] = b[kept]
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :best]
        self.cosine[place] = np.take_along_axis(cosines, order, axis=1)
        self.partner[place] = np.take_along_axis(partners, order, axis=1)

    def matches(self, names: NDArray[np.int64]) -> BestMatches:
        """The result after all cosines were added; ``names`` are the numbers of the proxies in the result."""
        found = self.cosine > -np.inf
        count = found.sum(axis=2)
        total = np.zeros(count.shape)
        for k in range(found.shape[2]):  # the order of the additions is part of the result
            total += np.where(found[..., k], self.cosine[..., k], 0)
        last = np.maximum(count - 1, 0)[..., None]
        lowest = np.take_along_axis(self.cosine, last, axis=2)
        mean = np.empty(count.shape)
        # A mean of equal numbers may be rounded to below them. Nothing at or below the lowest may exceed the mean.
        mean[names] = np.where(count > 0, np.maximum(total / np.maximum(count, 1), lowest[..., 0]), -np.inf)
        a, camera, place = np.nonzero(found & (self.cosine > lowest))
        return BestMatches(mean, names[a], names[self.partner[a, camera, place]], self.cosine[a, camera, place])
