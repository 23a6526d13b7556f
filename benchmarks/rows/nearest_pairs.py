"""The paper's cross-camera association."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from benchmarks.problems import Proxies, proxies
from benchmarks.row import Row
from ccafl_plugin.association import associate

RATE = 1.7


def prepare(proxies_: int, dim: int, device: str) -> Proxies:
    return proxies(proxies_, cameras=6, dim=dim)


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


def numbered(groups: np.ndarray) -> np.ndarray:
    """Groups of several in the order of their first proxy, -1 for groups of one."""
    numbers: dict[int, int] = {}
    sizes = np.bincount(groups)
    return np.array([numbers.setdefault(g, len(numbers)) if sizes[g] > 1 else -1 for g in groups.tolist()])


ROW = Row(
    name="nearest_pairs",
    title="association nearest_pairs, 3262 proxies x 2048",
    usual_title="scipy's cdist in float64, all pairs sorted, a walk",
    sizes={"full": {"proxies_": 3262, "dim": 2048}, "quick": {"proxies_": 200, "dim": 32}},
    prepare=prepare,
    usual=usual,
    ours=lambda problem: {"pseudo": associate(problem.features, problem.cameras, "nearest_pairs", rate=RATE)},
)
