"""Which images describe an image in re-ranking, and over which it is averaged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ccafl_plugin.metrics.nearest import nearest
from ccafl_plugin.metrics.reciprocal import expanded_neighbours
from ccafl_plugin.utils.errors import CCAFLError

K1, K2 = 20, 6
"""torchreid's defaults, those of the paper."""


class Neighbours(ABC):
    """Collects what it needs from one reading of all distances, row by row. To be used once."""

    @abstractmethod
    def start(self, total: int) -> None:
        """Before the first row.

        Args:
            total: N, number of images.

        Raises:
            CCAFLError: not the number of images that these neighbours are for.
        """

    @abstractmethod
    def add(self, image: int, row: NDArray[np.float32]) -> None:
        """One image.

        Args:
            image: its place.
            row: (N,) its distances, without NaN; may be overwritten.
        """

    @abstractmethod
    def sets(self, rows: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """The images that describe each image.

        Args:
            rows: images per part.

        Yields:
            (first image, (n, N) 0/1 matrix with ascending indices).
        """

    @abstractmethod
    def companions(self) -> NDArray[np.int32] | None:
        """(N, k) the images over whose descriptions an image's is averaged, -1 for none; None: no average."""


class NearestNeighbours(Neighbours):
    """Those of k-reciprocal re-ranking (Zhong et al., CVPR 2017), whatever camera they are from.

    Args:
        k1: neighbours among which reciprocal ones are sought.
        k2: nearest images over whose descriptions an image's is averaged; 1 for none.

    Raises:
        CCAFLError: k1 or k2 below 1.
    """

    def __init__(self, k1: int = K1, k2: int = K2) -> None:
        if k1 < 1 or k2 < 1:
            raise CCAFLError(f"re_ranking: k1 and k2 must be at least 1, got k1={k1} and k2={k2}.")
        self.k1, self.k2 = k1, k2

    def start(self, total: int) -> None:
        """See :meth:`Neighbours.start`."""
        self._ranking = np.empty((total, min(max(self.k1 + 1, self.k2), total)), dtype=np.int32)

    def add(self, image: int, row: NDArray[np.float32]) -> None:
        """See :meth:`Neighbours.add`."""
        self._ranking[image] = nearest(row, max(self.k1 + 1, self.k2))

    def sets(self, rows: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """See :meth:`Neighbours.sets`."""
        return expanded_neighbours(self._ranking, self.k1, rows)

    def companions(self) -> NDArray[np.int32] | None:
        """See :meth:`Neighbours.companions`."""
        return self._ranking[:, : self.k2] if self.k2 > 1 else None
