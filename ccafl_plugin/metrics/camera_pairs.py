"""mAP of each pair of cameras: how well people seen by one camera are found in what another one saw."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.metrics.stable_ranks import stable_ranks


class CameraPairScores(NamedTuple):
    """Scores by camera of the query (row) and camera of the gallery (column)."""

    query_cameras: tuple[int, ...]  # (A,) ascending
    gallery_cameras: tuple[int, ...]  # (B,) ascending
    mean_average_precision: NDArray[np.float64]  # (A, B), nan without a query that has a right match there
    queries: NDArray[np.int64]  # (A, B) queries that have one


class CameraPairs:
    """Collects the average precision of queries in each camera's part of the gallery.

    For a pair of cameras the gallery is what the second camera saw, strangers included, and nothing else. Queries
    without a right match there are passed over. A camera is never paired with itself: images of the query's own
    identity and camera don't count in re-identification, so that no right match is left.

    Args:
        query_cameras: (Q,) whole numbers.
        gallery_cameras: (G,) whole numbers.
    """

    def __init__(self, query_cameras: NDArray[Any], gallery_cameras: NDArray[Any]) -> None:
        self._query_names, self._query_camera = np.unique(query_cameras, return_inverse=True)
        self._names, camera = np.unique(gallery_cameras, return_inverse=True)
        self._order = np.argsort(camera, kind="stable")  # a camera's images lie together, each camera's in their order
        self._place = np.empty_like(self._order)  # of each image in this order
        self._place[self._order] = np.arange(len(self._order))
        self._starts = np.searchsorted(camera[self._order], np.arange(len(self._names) + 1))
        self._sum = np.zeros((len(self._query_names), len(self._names)))
        self._count = np.zeros(self._sum.shape, dtype=np.int64)
        self._numbers = np.arange(1, len(camera) + 1)  # how many right matches stand up to the first, second, ...

    def add(self, query: int, row: NDArray[Any], matches: NDArray[np.int64]) -> None:
        """One query.

        Args:
            query: its place among the queries.
            row: (G,) its distances.
            matches: gallery images of its identity in other cameras, ascending, at least one.
        """
        asked_by = self._query_camera[query]
        row = row.take(self._order)
        places = np.sort(self._place[matches])  # camera by camera
        cuts = np.searchsorted(places, self._starts)
        for seen_by in np.flatnonzero(np.diff(cuts)).tolist():
            start, stop = self._starts[seen_by : seen_by + 2]
            ranks = stable_ranks(row[start:stop], places[cuts[seen_by] : cuts[seen_by + 1]] - start)
            ranks.sort()
            self._sum[asked_by, seen_by] += (self._numbers[: len(ranks)] / (ranks + 1)).sum() / len(ranks)
            self._count[asked_by, seen_by] += 1

    def scores(self) -> CameraPairScores:
        """Means over the queries so far."""
        with np.errstate(invalid="ignore"):
            mean = self._sum / self._count
        return CameraPairScores(
            tuple(self._query_names.tolist()), tuple(self._names.tolist()), mean, self._count.copy()
        )
