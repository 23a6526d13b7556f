"""The paper's cross-camera association."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from benchmarks.problems import Proxies
from benchmarks.rows.association import association_row, numbered

RATE = 1.7


def usual(problem: Proxies) -> dict[str, Any]:
    """All distances, all cross-camera pairs sorted, a walk along the nearest."""
    features, cameras = problem.features.numpy().astype(np.float64), problem.cameras.numpy()
    total = len(features)
    distances = cdist(features, features, "sqeuclidean")
    first, second = np.triu_indices(total, 1)
    across = cameras[first] != cameras[second]
    first, second = first[across], second[across]
    nearest = np.argsort(distances[first, second], kind="stable")[: int(RATE * total)]
    partnered, accepted = set(), []
    for a, b in zip(first[nearest].tolist(), second[nearest].tolist(), strict=True):
        if (a, cameras[b]) not in partnered and (b, cameras[a]) not in partnered:
            partnered |= {(a, cameras[b]), (b, cameras[a])}
            accepted.append((a, b))
    rows, columns = np.array(accepted).T
    groups = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), (total, total)), directed=False)[1]
    return {"pseudo": numbered(groups)}


ROW = association_row("nearest_pairs", "scipy's cdist in float64, all pairs sorted, a walk", usual, rate=RATE)
