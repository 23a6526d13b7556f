"""Distances between features that are computed on demand, some rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.utils.dtypes import at_least_float32
from ccafl_plugin.utils.errors import CCAFLError, unknown_name

BLOCK_ELEMENTS = 1 << 24  # distances held at once, 64 MB in float32


class Distances(ABC):
    """A (Q, G) matrix of distances; only some rows are in memory at a time.

    ``numpy.asarray`` computes the whole matrix, for code that needs an array.
    """

    shape: tuple[int, int]

    @abstractmethod
    def blocks(self) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """The matrix from top to bottom: (first row, (n, G) rows). The next block may overwrite the rows."""

    def numpy(self) -> Distances:
        """Returns itself; torchreid calls this method on its distance matrix."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("These distances are computed on demand, so an array of them is always a copy.")
        matrix: NDArray[Any] | None = None
        for first, rows in self.blocks():
            if matrix is None:
                matrix = np.empty(self.shape, dtype=rows.dtype if dtype is None else dtype)
            matrix[first : first + len(rows)] = rows
        return np.empty(self.shape, dtype=dtype or np.float32) if matrix is None else matrix


class FeatureDistances(Distances):
    """Distances between two sets of features, equal to torchreid's ``compute_distance_matrix``.

    Args:
        query: (Q, D) float; half precision is computed in float32.
        gallery: (G, D) float, on the same device.
        metric: ``euclidean`` (squared, as in torchreid) or ``cosine`` (1 - cosine).

    Raises:
        CCAFLError: shapes that don't fit, or an unknown metric.
    """

    def __init__(self, query: Tensor, gallery: Tensor, metric: str = "euclidean") -> None:
        if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
            raise CCAFLError(
                "Distances need query and gallery features of shape (number of images, dimension), "
                f"got {tuple(query.shape)} and {tuple(gallery.shape)}."
            )
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        self.query, self.gallery, self.metric = query, gallery, metric
        self.shape = (len(query), len(gallery))

    def blocks(self) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """See :meth:`Distances.blocks`."""
        to_gallery = METRICS[self.metric](self.gallery)
        size = max(1, BLOCK_ELEMENTS // max(1, self.shape[1]))
        for first in range(0, self.shape[0], size):
            yield first, to_gallery(self.query[first : first + size]).cpu().numpy()


class SquaredEuclidean:
    """Squared Euclidean distances to a gallery, from the product of features.

    Args:
        gallery: (G, D) float.
    """

    def __init__(self, gallery: Tensor) -> None:
        self.gallery = at_least_float32(gallery.detach())
        self.squares = self.gallery.pow(2).sum(dim=1)

    def __call__(self, query: Tensor, places: Tensor | None = None) -> Tensor:
        """(n, D) features to (n, G) distances, or to (n, m) of the gallery's images at (m,) ``places`` only."""
        query = at_least_float32(query.detach())
        gallery, squares = (x if places is None else x[places] for x in (self.gallery, self.squares))
        return (query.pow(2).sum(dim=1, keepdim=True) + squares).addmm_(query, gallery.T, beta=1, alpha=-2)


class Cosine:
    """1 - cosine to a gallery.

    Args:
        gallery: (G, D) float.
    """

    def __init__(self, gallery: Tensor) -> None:
        self.gallery = F.normalize(at_least_float32(gallery.detach()), dim=1)

    def __call__(self, query: Tensor, places: Tensor | None = None) -> Tensor:
        """(n, D) features to (n, G) distances, or to (n, m) of the gallery's images at (m,) ``places`` only."""
        gallery = self.gallery if places is None else self.gallery[places]
        return (F.normalize(at_least_float32(query.detach()), dim=1) @ gallery.T).neg_().add_(1)


METRICS: dict[str, Callable[[Tensor], SquaredEuclidean | Cosine]] = {
    "euclidean": SquaredEuclidean,
    "cosine": Cosine,
}
