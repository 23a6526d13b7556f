"""Search by comparing a query with every feature: exact, and all that is needed up to some hundred thousand images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.search_index import Filter, FilterColumns, Hit, SearchIndex, cameras_of, facts_of
from ccafl_plugin.metrics.nearest import nearest

BLOCK = 1 << 24
"""Similarities held at once, 64 MB in float32."""
ROUNDING = 1e-6
"""By which the length of a feature may differ from 1."""


class ExactIndex(SearchIndex):
    """Searches a :class:`~ccafl_plugin.features.feature_set.FeatureSet`, with ties in the order of its rows.

    Args:
        features: the set; the lengths of its features do not count.
    """

    def __init__(self, features: FeatureSet) -> None:
        columns = features.columns
        super().__init__(
            features.weights, features.description, features.features.shape[1], tuple(columns), cameras_of(columns)
        )
        self.features = unit_rows(features.features)
        self.columns, self._filter = columns, FilterColumns(columns)

    def __len__(self) -> int:
        return len(self.features)

    def _search(self, queries: Tensor, top: int, only: Filter) -> list[list[Hit]]:
        kept = self._filter.rows(only)
        found = []
        size = max(1, BLOCK // max(1, len(self)))
        for first in range(0, len(queries), size):
            farness = -(queries[first : first + size] @ self.features.T).numpy()
            if kept is not None:
                farness[:, ~kept] = float("inf")
            for row in farness:
                places = [int(place) for place in nearest(row, top) if row[place] != float("inf")]
                found.append([Hit(place, -float(row[place]), facts_of(self.columns, place)) for place in places])
        return found


def unit_rows(features: Tensor) -> Tensor:
    """(N, D) rows of length 1: the same tensor where they are already, as an extractor gives them, without a copy."""
    lengths = torch.linalg.vector_norm(features, dim=1)
    if bool(((lengths - 1).abs() <= ROUNDING).all()):
        return features
    return F.normalize(features, dim=1)
