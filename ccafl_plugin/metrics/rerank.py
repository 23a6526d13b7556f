"""k-reciprocal re-ranking (Zhong et al., CVPR 2017): the same distances as torchreid, without its dense matrices.

With :class:`~ccafl_plugin.metrics.camera_neighbours.CameraNeighbours` it is camera-aware.

Each image has a vector over all images (queries and gallery together) that is positive only for its k-reciprocal
neighbours. These vectors are sparse, and distances are read in blocks of rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor

from ccafl_plugin.metrics.all_pairs import AllPairs, FeaturePairs, MatrixPairs
from ccafl_plugin.metrics.distances import Distances, FeatureDistances
from ccafl_plugin.metrics.neighbours import K1, K2, NearestNeighbours, Neighbours
from ccafl_plugin.metrics.reciprocal import membership
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.progress import Progress, watched

ROWS_AT_ONCE = 1 << 13  # number of images whose neighbourhoods are computed together
LAMBDA = 0.3
"""torchreid's default, which is the paper's value."""


class RerankedDistances(Distances):
    """Re-ranked distances of queries to the gallery. Neighbourhoods are computed at once, distances on demand.

    ``(1 - lambda) * jaccard + lambda * original``, with the Jaccard distance of the neighbourhood vectors, and the
    original distance squared and divided by the image's largest one, as in torchreid.

    Args:
        pairs: the distances among all images.
        neighbours: which images describe an image, and over which it is averaged.
        lambda_value: weight of the original distance, lambda in the paper.

    Raises:
        CCAFLError: distances that aren't finite, or neighbours of another number of images.
    """

    def __init__(self, pairs: AllPairs, neighbours: Neighbours, lambda_value: float = LAMBDA) -> None:
        self.pairs, self.lambda_value = pairs, lambda_value
        self.shape = (pairs.num_query, pairs.total - pairs.num_query)
        self._largest = _read(pairs, neighbours)
        vectors = _neighbourhood_vectors(pairs, self._largest, neighbours)
        companions = neighbours.companions()
        if companions is not None:
            vectors = _averaged(vectors, companions)
        self._query_vectors = vectors[: pairs.num_query]
        self._gallery_vectors = vectors[pairs.num_query :].tocsc()

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See :meth:`~ccafl_plugin.metrics.distances.Distances.blocks`."""
        for first, rows in self.pairs.query_rows():
            for row, distances in enumerate(_normalized(rows, self._largest[first : first + len(rows)]), first):
                jaccard = self._jaccard(row)
                jaccard *= 1 - self.lambda_value
                distances *= self.lambda_value
                distances += jaccard
            yield first, rows

    def _jaccard(self, query: int) -> NDArray[np.float32]:
        """Jaccard distances of one query to the gallery; only images with a common neighbour are visited."""
        own = slice(*self._query_vectors.indptr[query : query + 2])
        neighbours, own_weights = self._query_vectors.indices[own], self._query_vectors.data[own]
        starts = self._gallery_vectors.indptr[neighbours]
        counts = self._gallery_vectors.indptr[neighbours + 1] - starts
        ends = np.cumsum(counts)
        entries = np.arange(counts.sum()) + np.repeat(starts - (ends - counts), counts)
        smaller = np.minimum(np.repeat(own_weights, counts), self._gallery_vectors.data[entries])
        shared = np.zeros(self.shape[1], dtype=np.float32)
        np.add.at(shared, self._gallery_vectors.indices[entries], smaller)  # neighbour by neighbour, ascending
        return 1 - shared / (2 - shared)


def re_ranking(
    q_g_dist: ArrayLike | Distances,
    q_q_dist: ArrayLike | Distances,
    g_g_dist: ArrayLike | Distances,
    k1: int = K1,
    k2: int = K2,
    lambda_value: float = LAMBDA,
    neighbours: Neighbours | None = None,
) -> NDArray[np.float32] | Distances:
    """Re-ranked distances; replaces torchreid's function of this name.

    Equal distances are ranked by position (queries before gallery). Apart from ties the result is bit-equal to
    torchreid's, except for an image that coincides with all others, where torchreid divides by 0.

    Args:
        q_g_dist: (Q, G) float distances.
        q_q_dist: (Q, Q) float.
        g_g_dist: (G, G) float.
        k1: neighbours among which reciprocal ones are sought.
        k2: nearest images over whose vectors an image's vector is averaged; 1 for none.
        lambda_value: weight of the original distance.
        neighbours: others than the nearest, in place of ``k1`` and ``k2``:
            :class:`~ccafl_plugin.metrics.camera_neighbours.CameraNeighbours` make the re-ranking camera-aware.

    Returns:
        (Q, G) float32. If all three are :class:`~ccafl_plugin.metrics.distances.FeatureDistances`, no matrix is made
        and the result is a :class:`RerankedDistances`, which :func:`~ccafl_plugin.metrics.rank.evaluate_rank` takes.

    Raises:
        CCAFLError: shapes that don't fit, distances that aren't finite, k1 or k2 below 1.
    """
    given = (q_g_dist, q_q_dist, g_g_dist)
    if isinstance(q_g_dist, FeatureDistances) and all(isinstance(each, FeatureDistances) for each in given):
        return rerank_features(q_g_dist.query, q_g_dist.gallery, q_g_dist.metric, k1, k2, lambda_value, neighbours)
    pairs = MatrixPairs(np.asarray(q_g_dist), np.asarray(q_q_dist), np.asarray(g_g_dist))
    return np.asarray(RerankedDistances(pairs, neighbours or NearestNeighbours(k1, k2), lambda_value))


def rerank_features(
    query_features: Tensor,
    gallery_features: Tensor,
    metric: str = "euclidean",
    k1: int = K1,
    k2: int = K2,
    lambda_value: float = LAMBDA,
    neighbours: Neighbours | None = None,
) -> RerankedDistances:
    """:func:`re_ranking` from features; its memory grows linearly with the number of images.

    Args:
        query_features: (Q, D) float, on any device.
        gallery_features: (G, D) float, on the same device.
        metric: ``euclidean`` or ``cosine``, see :class:`~ccafl_plugin.metrics.distances.FeatureDistances`.
        k1: neighbours among which reciprocal ones are sought.
        k2: nearest images over whose vectors an image's vector is averaged; 1 for none.
        lambda_value: weight of the original distance.
        neighbours: others than the nearest, in place of ``k1`` and ``k2``.

    Returns:
        (Q, G) distances for :func:`~ccafl_plugin.metrics.rank.evaluate_rank`; ``numpy.asarray`` makes a matrix of them.

    Raises:
        CCAFLError: shapes that don't fit, features that aren't finite, an unknown metric, k1 or k2 below 1.
    """
    pairs = FeaturePairs(query_features, gallery_features, metric)
    return RerankedDistances(pairs, neighbours or NearestNeighbours(k1, k2), lambda_value)


def _normalized(rows: NDArray[np.float32], largest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances divided by the image's largest one, in place; 0 if all are 0."""
    rows /= np.where(largest > 0, largest, 1)[:, None]
    return rows


def _read(pairs: AllPairs, neighbours: Neighbours) -> NDArray[np.float32]:
    """Each image's largest squared distance; its neighbours are found on the way."""
    largest = np.empty(pairs.total, dtype=np.float32)
    neighbours.start(pairs.total)
    with Progress(pairs.total, "images", "Re-ranking") as progress:
        for first, rows in pairs.rows():
            some = slice(first, first + len(rows))
            largest[some] = rows.max(axis=1)
            if not np.isfinite(largest[some]).all():
                raise CCAFLError("re_ranking: some distances are not finite. Check the features for NaN.")
            for image, row in enumerate(_normalized(rows, largest[some]), first):
                neighbours.add(image, row)
                progress.add(1)
    return largest


def _neighbourhood_vectors(pairs: AllPairs, largest: NDArray[np.float32], neighbours: Neighbours) -> sparse.csr_matrix:
    """(N, N): row i is exp(-distance) on the images that describe image i, divided by its sum."""
    parts = []
    parted = neighbours.sets(ROWS_AT_ONCE)
    for first, sets in watched(parted, pairs.total, "images", "Re-ranking", lambda part: part[1].shape[0]):
        counts = np.diff(sets.indptr)
        images = np.repeat(np.arange(first, first + len(counts)), counts)
        distances = pairs.entries(images, sets.indices)
        distances /= np.where(largest > 0, largest, 1)[images]
        weights = np.exp(-distances)
        # One NumPy sum per row, because numpy.add.reduceat rounds differently.
        sums = [weights[start:stop].sum() for start, stop in itertools.pairwise(sets.indptr.tolist())]
        weights /= np.repeat(np.array(sums, dtype=np.float32), counts)
        parts.append(sparse.csr_matrix((weights, sets.indices, sets.indptr), sets.shape))
    return sparse.vstack(parts, format="csr")


def _averaged(vectors: sparse.csr_matrix, companions: NDArray[np.int32]) -> sparse.csr_matrix:
    """Row i becomes the mean of the rows of image i's companions (local query expansion)."""
    # The nearest first, so that the sum is rounded as the mean of stacked rows is; no sorting of indices before it.
    chosen = membership(companions, np.float32)
    averaged = chosen @ vectors
    averaged.data /= np.repeat(np.diff(chosen.indptr).astype(np.float32), np.diff(averaged.indptr))
    averaged.sort_indices()
    return averaged
