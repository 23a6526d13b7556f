"""The CMC curve of CUHK03's classic protocol: one gallery image per identity is drawn, ten times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPEATS = 10


def reachable_ranks(ranks: Sequence[int], gallery: Sequence[tuple[Any, ...]], single_shot: bool) -> list[int]:
    """The ranks that a CMC curve has.

    Args:
        ranks: asked for, from 1.
        gallery: (path, person, ...) of each image.
        single_shot: whether the curve is CUHK03's, with one image per person.

    Returns:
        Those of them that are not beyond the gallery's number of images, or of people.
    """
    length = len({entry[1] for entry in gallery}) if single_shot else len(gallery)
    return [rank for rank in ranks if rank <= length]


class SingleShot:
    """Collects the CMC curves of queries.

    Every draw uses NumPy's global generator, in torchreid's order: for each query, ten times, one image of each
    identity in the order of the identities' nearest images. After the same ``np.random.seed``, the curve equals
    torchreid's.

    Args:
        gallery_ids: (G,) identities.
        max_rank: largest length of a curve.
    """

    def __init__(self, gallery_ids: NDArray[Any], max_rank: int) -> None:
        self.gallery_ids = gallery_ids
        self.max_rank = max_rank
        self.curves: list[NDArray[np.float32]] = []

    def add(self, row: NDArray[Any], junk: NDArray[np.int64], identity: Any) -> None:
        """Adds a query that has a match.

        Args:
            row: (G,) its distances.
            junk: gallery images that do not count for it.
            identity: identity of the query.
        """
        order = np.argsort(row, kind="stable")
        counts_here = np.ones(len(row), dtype=bool)
        counts_here[junk] = False
        ranked = self.gallery_ids[order[counts_here[order]]]
        _, first, group, counts = np.unique(ranked, return_index=True, return_inverse=True, return_counts=True)
        by_nearest = np.argsort(first)
        members = np.argsort(group, kind="stable")  # positions in the ranking, identity by identity
        starts, counts = (np.cumsum(counts) - counts)[by_nearest], counts[by_nearest]
        own = int(np.flatnonzero(ranked[first[by_nearest]] == identity)[0])

        length = min(len(counts), self.max_rank)
        curve = np.zeros(length, dtype=np.float32)
        for _ in range(REPEATS):
            drawn = members[starts + np.random.randint(0, counts)]
            curve[np.count_nonzero(drawn < drawn[own]) :] += 1
        curve /= REPEATS
        self.curves.append(curve)

    def curve(self) -> NDArray[np.float32]:
        """Mean over the queries; its length is at most the number of identities in the gallery."""
        mean: NDArray[np.float32] = np.asarray(self.curves).sum(0) / np.float32(len(self.curves))
        return mean
