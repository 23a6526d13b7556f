"""k-reciprocal neighbours: pairs of images of which each is among the other's nearest images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse


def expanded_neighbours(ranking: NDArray[np.int32], k1: int, rows: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """The set R* of each image: its k1-reciprocal neighbours, and the images that these add.

    A k1-reciprocal neighbour j adds its own k1/2-reciprocal neighbours if more than two thirds of them are already
    k1-reciprocal neighbours of the image.

    Args:
        ranking: (N, k) the nearest images of each image, in order; k > k1 unless N is smaller.
        k1: number of nearest images, without the image itself, that are searched for reciprocal neighbours.
        rows: number of images per part.

    Yields:
        (first image, (n, N) 0/1 matrix with ascending indices).
    """
    neighbours = reciprocal(ranking[:, : k1 + 1])
    candidates = reciprocal(ranking[:, : int(np.around(k1 / 2)) + 1])
    sizes = np.diff(candidates.indptr)
    candidates_transposed = candidates.T.tocsr()
    for first in range(0, len(ranking), rows):
        own = neighbours[first : first + rows]
        shared = own.multiply(own @ candidates_transposed).tocsr()  # of j's candidates, how many i has already
        shared.data = (shared.data > 2.0 / 3 * sizes[shared.indices]).astype(np.int32)
        shared.eliminate_zeros()
        expanded = (own + shared @ candidates).tocsr()
        expanded.sort_indices()
        yield first, expanded


def reciprocal(ranking: NDArray[np.int32]) -> sparse.csr_matrix:
    """(N, N) 0/1 int32: image i's list holds j and image j's list holds i. A list may be short: -1 is no image."""
    listed = membership(ranking, np.int32)
    return listed.multiply(listed.T.tocsr()).tocsr()


def membership(ranking: NDArray[np.int32], dtype: DTypeLike) -> sparse.csr_matrix:
    """(N, N) 0/1: image i's list holds j; its indices stand in the list's order. -1 in a list is no image."""
    total = len(ranking)
    images = ranking >= 0
    indptr = np.concatenate([[0], np.cumsum(images.sum(axis=1))])
    indices = ranking[images]
    return sparse.csr_matrix((np.ones(len(indices), dtype=dtype), indices, indptr), (total, total))
