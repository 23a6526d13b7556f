"""What a run finds for each query, ranked as in its test, and a choice of queries whose mix matches the CMC."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.integration.camera_evaluation import CameraTest
from ccafl_plugin.metrics import CameraNeighbours, FeatureDistances, re_ranking
from ccafl_plugin.metrics.distances import Distances
from ccafl_plugin.report.rebuilt_run import RebuiltRun, TestImages

SHOWN = 10
"""Images of the gallery that are kept for each query."""


class RankedQueries:
    """The ranking of every query.

    Gallery images of the query's own person and camera do not count and are not in the ranking.

    Args:
        distances: (Q, G), read a block at a time.
        images: Q queries and G images of the gallery.

    Attributes:
        images: the same.
        first: (Q,) int64, place of the first right match, from 0; -1 if there is none in another camera.
        top: (Q, SHOWN) int64, the most similar images, as places among the images; -1 behind the last.
    """

    def __init__(self, distances: Distances | NDArray[Any], images: TestImages) -> None:
        self.images = images
        queries = images.queries
        persons, cameras = images.persons[queries:], images.cameras[queries:]
        self.first = np.full(queries, -1, dtype=np.int64)
        self.top = np.full((queries, SHOWN), -1, dtype=np.int64)
        blocks = distances.blocks() if isinstance(distances, Distances) else [(0, distances)]
        for start, rows in blocks:
            for query, row in enumerate(rows, start):
                same = persons == images.persons[query]
                counts = ~(same & (cameras == images.cameras[query]))
                order = np.argsort(row, kind="stable")
                order = order[counts[order]]
                places = np.flatnonzero(same[order])
                self.first[query] = places[0] if len(places) else -1
                found = order[:SHOWN]
                self.top[query, : len(found)] = queries + found

    @property
    def valid(self) -> NDArray[np.int64]:
        """The queries that have a right match, which are those that count."""
        return np.flatnonzero(self.first >= 0)

    def curve(self, length: int = 50) -> NDArray[np.float64]:
        """(length,) CMC: share of the valid queries with a right match up to each rank."""
        found = np.bincount(self.first[self.valid], minlength=length)[:length]
        return np.cumsum(found) / max(len(self.valid), 1)


def chosen_queries(first: NDArray[np.int64], count: int, seed: int = 1) -> NDArray[np.int64]:
    """Queries whose mix of successes and failures is that of all.

    All valid queries are ordered by the rank of their first right match, those of equal rank at random, and divided
    into ``count`` parts of equal size; the middle one of each part is taken. So for every rank k, the share of the
    chosen queries with a right match up to k differs from the CMC by less than 1 / count.

    Args:
        first: (Q,) place of the first right match, -1 for queries that do not count.
        count: how many to choose; all valid ones if they are fewer.
        seed: of the order of queries with equal ranks.

    Returns:
        Places of the queries, ordered by the rank of their first right match.
    """
    valid = np.flatnonzero(first >= 0)
    valid = valid[np.random.default_rng(seed).permutation(len(valid))]
    ordered = valid[np.argsort(first[valid], kind="stable")]
    count = min(count, len(ordered))
    return ordered[[int((part + 0.5) * len(ordered) / count) for part in range(count)]]


def distances_of_test(run: RebuiltRun, images: TestImages, features: Tensor) -> Any:
    """(Q, G) distances as the run's test computes them.

    Args:
        run: with its trained weights.
        images: queries and gallery.
        features: (M, D) float32, what the model returns for them.
    """
    test = run.config.test
    if test.normalize_feature:
        features = features / features.norm(dim=1, keepdim=True).clamp_min(1e-12)
    query, gallery = features[: images.queries], features[images.queries :]
    if test.camera_normalization != "none":
        engine = SimpleNamespace(model=run.model, datamanager=run.datamanager)
        of_query, of_gallery = np.split(images.cameras, [images.queries])
        test_of_it = CameraTest(engine, images.dataset, "")
        query, gallery = test_of_it.without_cameras(query, gallery, of_query, of_gallery)
    metric = test.dist_metric
    distances = FeatureDistances(query, gallery, metric)
    if not test.rerank:
        return distances
    neighbours = CameraNeighbours(images.cameras) if test.camera_rerank else None
    others = FeatureDistances(query, query, metric), FeatureDistances(gallery, gallery, metric)
    return re_ranking(distances, *others, neighbours=neighbours)
