"""k-reciprocal re-ranking (Zhong et al., CVPR 2017): torchreid's distances without its dense matrices.

Each image is described by a vector over all images (queries and gallery together) that is positive on the image's
k-reciprocal neighbours only. These vectors are kept sparse; everything that needs a distance reads a block of rows.
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
from ccafl_plugin.metrics.nearest import nearest
from ccafl_plugin.metrics.reciprocal import expanded_neighbours
from ccafl_plugin.utils.errors import CCAFLError

ROWS_AT_ONCE = 1 << 13  # images whose neighbourhoods are worked out together
K1, K2, LAMBDA = 20, 6, 0.3
"""torchreid's defaults, those of the paper."""


class RerankedDistances(Distances):
    """Re-ranked distances of queries to the gallery; neighbourhoods are found at once, distances when they are read.

    ``(1 - lambda) * jaccard + lambda * original``, with the Jaccard distance of the neighbourhood vectors, and the
    original distance squared and divided by the image's largest, as in torchreid.

    Args:
        pairs: the distances among all images.
        k1: neighbours among which reciprocal ones are sought.
        k2: nearest images over whose vectors an image's vector is averaged; 1 for none.
        lambda_value: weight of the original distance, lambda in the paper.

    Raises:
        CCAFLError: k1 or k2 below 1, or distances that aren't finite.
    """

    def __init__(self, pairs: AllPairs, k1: int = K1, k2: int = K2, lambda_value: float = LAMBDA) -> None:
        if k1 < 1 or k2 < 1:
            raise CCAFLError(f"re_ranking: k1 and k2 must be at least 1, got k1={k1} and k2={k2}.")
        self.pairs, self.lambda_value = pairs, lambda_value
        self.shape = (pairs.num_query, pairs.total - pairs.num_query)
        self._largest, ranking = _rankings(pairs, max(k1 + 1, k2))
        vectors = _neighbourhood_vectors(pairs, self._largest, ranking, k1)
        if k2 > 1:
            vectors = _averaged(vectors, ranking[:, :k2])
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
        """Jaccard distances of one query to the gallery; only images that share a neighbour are visited."""
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
) -> NDArray[np.float32] | Distances:
    """Re-ranked distances, in place of torchreid's function of this name.

    Equal distances are ranked by their place (queries before gallery); besides ties the result is bit-equal to
    torchreid's, but for an image that coincides with all others, where torchreid divides by 0.

    Args:
        q_g_dist: (Q, G) float distances.
        q_q_dist: (Q, Q) float.
        g_g_dist: (G, G) float.
        k1: neighbours among which reciprocal ones are sought.
        k2: nearest images over whose vectors an image's vector is averaged; 1 for none.
        lambda_value: weight of the original distance.

    Returns:
        (Q, G) float32. If all three are :class:`~ccafl_plugin.metrics.distances.FeatureDistances`, no matrix is made
        and the result is a :class:`RerankedDistances`, which :func:`~ccafl_plugin.metrics.rank.evaluate_rank` takes.

    Raises:
        CCAFLError: shapes that don't fit, distances that aren't finite, k1 or k2 below 1.
    """
    others = isinstance(q_q_dist, FeatureDistances) and isinstance(g_g_dist, FeatureDistances)
    if others and isinstance(q_g_dist, FeatureDistances):
        return rerank_features(q_g_dist.query, q_g_dist.gallery, q_g_dist.metric, k1, k2, lambda_value)
    pairs = MatrixPairs(np.asarray(q_g_dist), np.asarray(q_q_dist), np.asarray(g_g_dist))
    return np.asarray(RerankedDistances(pairs, k1, k2, lambda_value))


def rerank_features(
    query_features: Tensor,
    gallery_features: Tensor,
    metric: str = "euclidean",
    k1: int = K1,
    k2: int = K2,
    lambda_value: float = LAMBDA,
) -> RerankedDistances:
    """:func:`re_ranking` from features, in memory that grows with the number of images only.

    Args:
        query_features: (Q, D) float, on any device.
        gallery_features: (G, D) float, on the same device.
        metric: ``euclidean`` or ``cosine``, see :class:`~ccafl_plugin.metrics.distances.FeatureDistances`.
        k1: neighbours among which reciprocal ones are sought.
        k2: nearest images over whose vectors an image's vector is averaged; 1 for none.
        lambda_value: weight of the original distance.

    Returns:
        (Q, G) distances for :func:`~ccafl_plugin.metrics.rank.evaluate_rank`; ``numpy.asarray`` makes a matrix of them.

    Raises:
        CCAFLError: shapes that don't fit, features that aren't finite, an unknown metric, k1 or k2 below 1.
    """
    return RerankedDistances(FeaturePairs(query_features, gallery_features, metric), k1, k2, lambda_value)


def _normalized(rows: NDArray[np.float32], largest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances divided by the image's largest, in place; 0 where all are 0."""
    rows /= np.where(largest > 0, largest, 1)[:, None]
    return rows


def _rankings(pairs: AllPairs, count: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Each image's largest squared distance, and its ``count`` nearest images in order, as far as there are so many."""
    largest = np.empty(pairs.total, dtype=np.float32)
    ranking = np.empty((pairs.total, min(count, pairs.total)), dtype=np.int32)
    for first, rows in pairs.rows():
        some = slice(first, first + len(rows))
        largest[some] = rows.max(axis=1)
        if not np.isfinite(largest[some]).all():
            raise CCAFLError("re_ranking: some distances are not finite. Check the features for NaN.")
        for place, row in enumerate(_normalized(rows, largest[some]), first):
            ranking[place] = nearest(row, count)
    return largest, ranking


def _neighbourhood_vectors(
    pairs: AllPairs, largest: NDArray[np.float32], ranking: NDArray[np.int32], k1: int
) -> sparse.csr_matrix:
    """(N, N): row i is exp(-distance) on the expanded k-reciprocal neighbours of image i, divided by its sum."""
    parts = []
    for first, neighbours in expanded_neighbours(ranking, k1, ROWS_AT_ONCE):
        counts = np.diff(neighbours.indptr)
        images = np.repeat(np.arange(first, first + len(counts)), counts)
        distances = pairs.entries(images, neighbours.indices)
        distances /= np.where(largest > 0, largest, 1)[images]
        weights = np.exp(-distances)
        # One sum per row, as NumPy adds up a vector: numpy.add.reduceat rounds otherwise.
        sums = [weights[start:stop].sum() for start, stop in itertools.pairwise(neighbours.indptr.tolist())]
        weights /= np.repeat(np.array(sums, dtype=np.float32), counts)
        parts.append(sparse.csr_matrix((weights, neighbours.indices, neighbours.indptr), neighbours.shape))
    return sparse.vstack(parts, format="csr")


def _averaged(vectors: sparse.csr_matrix, ranking: NDArray[np.int32]) -> sparse.csr_matrix:
    """Row i becomes the mean of the rows of the images nearest to image i (local query expansion)."""
    total, count = ranking.shape
    # The nearest first, so that the sum is rounded as the mean of stacked rows is; no sorting of indices before it.
    chosen = sparse.csr_matrix(
        (np.ones(total * count, np.float32), ranking.ravel(), np.arange(0, total * count + 1, count)), (total, total)
    )
    averaged = chosen @ vectors
    averaged.data /= np.float32(count)
    averaged.sort_indices()
    return averaged
