"""Squared distances among all images, queries first: from three matrices or from features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.metrics import distances
from ccafl_plugin.metrics.distances import METRICS, FeatureDistances
from ccafl_plugin.utils.errors import CCAFLError

TILE = 256  # rows of a matrix that are transposed together, so that a tile stays in the cache


class AllPairs(ABC):
    """The (N, N) distances among N images, each squared again, as in torchreid's re-ranking.

    Row i has the distances *to* image i; matrices need not be exactly symmetric.
    """

    num_query: int
    total: int

    @abstractmethod
    def rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(first image, (n, N) rows that the caller may overwrite) from top to bottom."""

    @abstractmethod
    def query_rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The queries' rows without the columns of the queries: (first query, (n, G) rows)."""

    @abstractmethod
    def entries(self, images: NDArray[np.int64], others: NDArray[np.int32]) -> NDArray[np.float32]:
        """(M,) distances of single pairs; ``images`` are ascending."""

    def _block_size(self) -> int:
        return max(1, distances.BLOCK_ELEMENTS // max(1, self.total))


class MatrixPairs(AllPairs):
    """Distances from matrices.

    Args:
        query_gallery: (Q, G) float.
        query_query: (Q, Q) float.
        gallery_gallery: (G, G) float.

    Raises:
        CCAFLError: shapes that don't fit.
    """

    def __init__(self, query_gallery: NDArray[Any], query_query: NDArray[Any], gallery_gallery: NDArray[Any]) -> None:
        shapes = query_gallery.shape, query_query.shape, gallery_gallery.shape
        if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1] * 2 or shapes[2] != shapes[0][1:] * 2:
            got = ", ".join(str(shape) for shape in shapes)
            raise CCAFLError(f"re_ranking needs distances (Q, G), (Q, Q) and (G, G), got {got}.")
        self.num_query, self.total = shapes[0][0], sum(shapes[0])
        kind = np.result_type(query_gallery, query_query, gallery_gallery)
        self._parts = [part.astype(kind, copy=False) for part in (query_gallery, query_query, gallery_gallery)]

    def rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See :meth:`AllPairs.rows`."""
        query_gallery, query_query, gallery_gallery = self._parts
        queries = self.num_query
        buffer = np.empty((self._block_size(), self.total), dtype=query_gallery.dtype)  # reused: new memory is slow
        for first, stop in self._cuts(queries):
            rows = buffer[: stop - first]
            _transpose(query_query[:, first:stop], out=rows[:, :queries])
            rows[:, queries:] = query_gallery[first:stop]
            yield first, _squared(rows)
        for first, stop in self._cuts(self.total - queries):
            rows = buffer[: stop - first]
            _transpose(query_gallery[:, first:stop], out=rows[:, :queries])
            _transpose(gallery_gallery[:, first:stop], out=rows[:, queries:])
            yield first + queries, _squared(rows)

    def query_rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See :meth:`AllPairs.query_rows`."""
        query_gallery = self._parts[0]
        buffer = np.empty((self._block_size(), query_gallery.shape[1]), dtype=query_gallery.dtype)
        for first, stop in self._cuts(self.num_query):
            rows = buffer[: stop - first]
            rows[:] = query_gallery[first:stop]
            yield first, _squared(rows)

    def entries(self, images: NDArray[np.int64], others: NDArray[np.int32]) -> NDArray[np.float32]:
        """See :meth:`AllPairs.entries`."""
        query_gallery, query_query, gallery_gallery = self._parts
        queries = self.num_query
        found = np.empty(len(images), dtype=query_gallery.dtype)
        of_query, to_query = images < queries, others < queries
        for mask, matrix, rows, columns in (
            (of_query & to_query, query_query, others, images),
            (of_query & ~to_query, query_gallery, images, others - queries),
            (~of_query & to_query, query_gallery, others, images - queries),
            (~of_query & ~to_query, gallery_gallery, others - queries, images - queries),
        ):
            found[mask] = matrix[rows[mask], columns[mask]]
        return _squared(found)

    def _cuts(self, length: int) -> list[tuple[int, int]]:
        size = self._block_size()
        return [(start, min(start + size, length)) for start in range(0, length, size)]


class FeaturePairs(AllPairs):
    """Distances from features, with :class:`~ccafl_plugin.metrics.distances.FeatureDistances`.

    Args:
        query: (Q, D) float.
        gallery: (G, D) float, on the same device.
        metric: ``euclidean`` or ``cosine``.

    Raises:
        CCAFLError: shapes that don't fit, or an unknown metric.
    """

    def __init__(self, query: Tensor, gallery: Tensor, metric: str = "euclidean") -> None:
        self._to_gallery = FeatureDistances(query, gallery, metric)
        self.num_query, self.total = len(query), len(query) + len(gallery)
        self._features = torch.cat([query, gallery])

    def rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See :meth:`AllPairs.rows`."""
        everything = FeatureDistances(self._features, self._features, self._to_gallery.metric)
        return ((first, _squared(rows)) for first, rows in everything.blocks())

    def query_rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See :meth:`AllPairs.query_rows`."""
        return ((first, _squared(rows)) for first, rows in self._to_gallery.blocks())

    def entries(self, images: NDArray[np.int64], others: NDArray[np.int32]) -> NDArray[np.float32]:
        """See :meth:`AllPairs.entries`."""
        to_others = METRICS[self._to_gallery.metric](self._features)
        found = np.empty(len(images), dtype=np.float32)
        borders = np.flatnonzero(np.diff(images, prepend=-1, append=self.total))
        for start, stop in zip(borders.tolist(), borders[1:].tolist(), strict=False):
            image = int(images[start])
            places = torch.from_numpy(others[start:stop]).to(self._features.device, torch.int64)
            found[start:stop] = _squared(to_others(self._features[image : image + 1], places)[0].cpu().numpy())
        return found


def _squared(own: NDArray[Any]) -> NDArray[np.float32]:
    """Squares in place, with the function that torchreid uses: in NumPy 1.26 it rounds differently from a product."""
    squared: NDArray[np.float32] = np.power(own, 2, out=own).astype(np.float32, copy=False)
    return squared


def _transpose(matrix: NDArray[Any], out: NDArray[Any]) -> None:
    """``out[:] = matrix.T``, tile by tile, because NumPy would access the memory in long strides."""
    for start in range(0, len(matrix), TILE):
        out[:, start : start + TILE] = matrix[start : start + TILE].T
