"""Finds the closest cross-camera pairs of proxies, exactly; its memory grows linearly with the number of proxies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.association.blocks import chunks, watched_blocks

REFINED_AT_ONCE = 1 << 21  # elements of differences held at once, 16 MB, so that they stay in the cache
SPARE_CANDIDATES = 200_000  # candidates kept without an exact distance, in addition to four times the pairs wanted

Floats = NDArray[np.floating[Any]]


class Pairs(NamedTuple):
    """Unordered pairs ``first < second``, sorted by (distance, first, second)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]


def closest_pairs(features: Floats, cameras: NDArray[np.int64], count: int) -> Pairs:
    """Finds the ``count`` closest pairs of rows from different cameras.

    Distances are squared Euclidean in float64, computed from differences of the float64 values and summed by
    ``numpy.sum``. Ties are ordered by (first, second). Only candidates get an exact distance: a blockwise product in
    float32, whose rounding error is bounded, excludes all other pairs. If the bound leaves too many candidates (when
    features nearly coincide next to an outlier), the search is repeated in float64.

    Args:
        features: (N, D) float, finite.
        cameras: (N,) int.
        count: number of pairs wanted; fewer are returned if fewer exist.

    Returns:
        The pairs, closest first.
    """
    if count < 1 or len(features) < 2:
        empty = np.zeros(0, dtype=np.int64)
        return Pairs(empty, empty, np.zeros(0))
    found = _search(features, cameras, count, np.dtype(np.float32))
    if found is None:
        found = _search(features, cameras, count, np.dtype(np.float64), exhaustive=True)
    assert found is not None  # an exhaustive pass has no limit on candidates
    return found


def _search(
    features: Floats, cameras: NDArray[np.int64], count: int, dtype: np.dtype[Any], exhaustive: bool = False
) -> Pairs | None:
    """One pass over all pairs. Returns None if there are too many candidates and the pass is not ``exhaustive``."""
    order = np.argsort(cameras, kind="stable")
    sorted_cameras = cameras[order]
    camera_ends = np.searchsorted(sorted_cameras, sorted_cameras, side="right")
    left, right, slack = _factors(features, order, dtype)
    limit = 4 * count + SPARE_CANDIDATES
    pool = _Pool(features, order, count)
    for rows, columns in watched_blocks(sorted_cameras):
        closeness = left[rows] @ right[columns].T  # minus half the squared distance
        start, begin = rows.start, columns.start
        for row in range(start, rows.stop):
            closeness[row - start, : camera_ends[row] - begin] = -np.inf
        pool.add(closeness, start, begin, slack, limit)
        if pool.size > limit:
            if not exhaustive:
                return None
            pool.refine()
    return pool.refine()


def _factors(features: Floats, order: NDArray[np.int64], dtype: np.dtype[Any]) -> tuple[Floats, Floats, float]:
    """Two matrices whose product is minus half the squared distances, and a bound of twice the product's error.

    The mean is subtracted from all features: distances stay the same, and smaller features have a smaller error. The
    features are also scaled by a power of two to lengths near 1, so that no relevant value underflows.
    """
    count, dim = features.shape
    centre = features.mean(axis=0, dtype=np.float64)
    left = np.ones((count, dim + 2), dtype=dtype)
    squares = np.empty(count)
    for some in chunks(count, REFINED_AT_ONCE // dim):
        moved = features[order[some]] - centre
        squares[some] = np.square(moved).sum(axis=1)
        left[some, :dim] = moved
    scale = 2.0 ** -round(np.log2(np.sqrt(squares.max()))) if squares.max() > 0 else 1.0
    left[:, :dim] *= dtype.type(scale)
    squares *= scale**2
    right = left.copy()
    left[:, dim + 1] = right[:, dim] = -squares / 2
    # Error of the products of rows of norm r: at most (dim + 2) u (r^2 + 2 r^2 / 2) from adding in any order, and a few
    # u r^2 from rounding the factors to ``dtype`` and from the float64 distances. Doubled, because both compared pairs
    # have an error.
    unit = np.finfo(dtype).eps / 2
    return left, right, float(2 * (2.1 * (dim + 2) + 20) * unit * squares.max())


class _Pool:
    """Candidates for the closest pairs, as positions in the order of cameras."""

    def __init__(self, features: Floats, order: NDArray[np.int64], count: int) -> None:
        self.features, self.order, self.count = features, order, count
        self.rows = np.zeros(0, dtype=np.int64)
        self.columns = np.zeros(0, dtype=np.int64)
        self.closeness = np.zeros(0)
        self.threshold = -np.inf  # the count-th largest closeness so far, with its rounding error

    @property
    def size(self) -> int:
        return len(self.rows)

    def add(self, closeness: Floats, start: int, begin: int, slack: float, limit: int) -> None:
        """Adds the pairs of a block that may be among the closest and removes pairs that can no longer be."""
        if self.threshold == -np.inf and closeness.size > self.count:
            flat = closeness.ravel()
            self.threshold = float(np.partition(flat, flat.size - self.count)[flat.size - self.count])
        lowest = max(self.threshold - slack, float(np.finfo(closeness.dtype).min))
        near = np.flatnonzero(closeness >= lowest)
        rows, columns = np.divmod(near, closeness.shape[1])
        self.rows = np.concatenate([self.rows, rows + start])
        self.columns = np.concatenate([self.columns, columns + begin])
        self.closeness = np.concatenate([self.closeness, closeness.ravel()[near]])
        if self.size > min(2 * self.count + 1000, limit):
            place = self.size - self.count
            self.threshold = max(self.threshold, float(np.partition(self.closeness, place)[place]))
            self._keep(self.closeness >= self.threshold - slack)

    def refine(self) -> Pairs:
        """Computes exact distances for the candidates and keeps only the closest pairs."""
        a, b = self.order[self.rows], self.order[self.columns]
        first, second = np.minimum(a, b), np.maximum(a, b)
        distance = np.empty(self.size)
        for some in chunks(self.size, REFINED_AT_ONCE // self.features.shape[1]):
            difference = self.features[first[some]].astype(np.float64)
            difference -= self.features[second[some]]
            distance[some] = np.square(difference, out=difference).sum(axis=1)
        best = np.lexsort((second, first, distance))[: self.count]
        self._keep(best)
        return Pairs(first[best], second[best], distance[best])

    def _keep(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> None:
        self.rows, self.columns, self.closeness = self.rows[which], self.columns[which], self.closeness[which]
