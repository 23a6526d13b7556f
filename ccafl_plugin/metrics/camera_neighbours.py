"""Neighbours from the own camera and from the others, so that no camera's likeness crowds the others out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ccafl_plugin.metrics.nearest import nearest
from ccafl_plugin.metrics.neighbours import Neighbours
from ccafl_plugin.metrics.reciprocal import reciprocal
from ccafl_plugin.utils.errors import CCAFLError


class CameraNeighbours(Neighbours):
    """Those of the camera-aware Jaccard distance (Chen et al., "CA-Jaccard", CVPR 2024).

    An image has two lists: the nearest images of its own camera, itself included, and the nearest of all other cameras.
    It is described by the images of either list in whose list of this kind it stands itself; unlike in plain
    re-ranking, these add no neighbours of theirs. Descriptions are averaged over the heads of both lists.

    Args:
        cameras: (N,) the camera of each image, queries first.
        k1_intra: neighbours of the own camera, besides the image itself, among which reciprocal ones are sought; 5 in
            the paper.
        k1_inter: neighbours of other cameras likewise; 20 in the paper. (Its released code takes one more.)
        k2_intra: nearest images of the own camera over which descriptions are averaged, the image itself counts; 2 in
            the paper.
        k2_inter: nearest images of other cameras likewise; 4 in the paper. ``k2_intra=1, k2_inter=0``: no average.

    Raises:
        CCAFLError: k2_intra below 1, or another below 0.
    """

    def __init__(
        self, cameras: ArrayLike, k1_intra: int = 5, k1_inter: int = 20, k2_intra: int = 2, k2_inter: int = 4
    ) -> None:
        if min(k1_intra, k1_inter, k2_inter) < 0 or k2_intra < 1:
            raise CCAFLError(
                "re_ranking: k2_intra must be at least 1, k1_intra, k1_inter and k2_inter at least 0, got "
                f"k1_intra={k1_intra}, k1_inter={k1_inter}, k2_intra={k2_intra} and k2_inter={k2_inter}."
            )
        self._camera = np.unique(np.ravel(cameras), return_inverse=True)[1]
        self.k1_intra, self.k1_inter, self.k2_intra, self.k2_inter = k1_intra, k1_inter, k2_intra, k2_inter

    def start(self, total: int) -> None:
        """See :meth:`Neighbours.start`."""
        if len(self._camera) != total:
            raise CCAFLError(f"re_ranking: there are {total} images, but cameras of {len(self._camera)}.")
        images = np.argsort(self._camera, kind="stable")
        self._members = np.split(images, np.cumsum(np.bincount(self._camera))[:-1])  # of each camera, ascending
        self._own = np.full((total, max(self.k1_intra + 1, self.k2_intra)), -1, dtype=np.int32)
        self._others = np.full((total, max(self.k1_inter, self.k2_inter)), -1, dtype=np.int32)

    def add(self, image: int, row: NDArray[np.float32]) -> None:
        """See :meth:`Neighbours.add`."""
        members = self._members[self._camera[image]]
        own = members[nearest(row[members], self._own.shape[1])]
        self._own[image, : len(own)] = own
        count = min(self._others.shape[1], len(row) - len(members))
        if count:
            row[members] = np.inf
            self._others[image, :count] = nearest(row, count)

    def sets(self, rows: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """See :meth:`Neighbours.sets`."""
        either = reciprocal(self._own[:, : self.k1_intra + 1]) + reciprocal(self._others[:, : self.k1_inter])
        either.sort_indices()
        for first in range(0, len(self._camera), rows):
            yield first, either[first : first + rows]

    def companions(self) -> NDArray[np.int32] | None:
        """See :meth:`Neighbours.companions`."""
        if self.k2_intra + self.k2_inter == 1:
            return None
        return np.concatenate([self._own[:, : self.k2_intra], self._others[:, : self.k2_inter]], axis=1)
