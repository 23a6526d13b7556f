"""k-reciprocal re-ranking from matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problems import retrieval
from benchmarks.row import Row
from benchmarks.rows.torchreid_evaluation import re_ranking as torchreids
from ccafl_plugin.metrics import FeatureDistances, evaluate_rank, re_ranking


def prepare(queries: int, gallery: int, identities: int, device: str) -> tuple:
    problem = retrieval(queries, gallery, identities, cameras=6, dim=64)
    pairs = ((problem.query, problem.gallery), (problem.query, problem.query), (problem.gallery, problem.gallery))
    return tuple(FeatureDistances(*pair).__array__() for pair in pairs), problem[2:]


def scores(distances: np.ndarray, labels: tuple) -> dict[str, Any]:
    """The distances in short (the sum of each row), and their mAP and CMC curve."""
    cmc, mean_average_precision = evaluate_rank(distances, *labels)
    return {"cmc": cmc, "mAP": mean_average_precision, "sums": distances.sum(axis=1, dtype=np.float64)}


ROW = Row(
    name="rerank",
    title="k-reciprocal re-ranking from matrices, Market-1501's size",
    usual_title="torchreid's re_ranking",
    sizes={
        "full": {"queries": 3368, "gallery": 15913, "identities": 750},
        "quick": {"queries": 60, "gallery": 600, "identities": 30},
    },
    prepare=prepare,
    usual=lambda problem: scores(torchreids(*problem[0]), problem[1]),
    ours=lambda problem: scores(re_ranking(*problem[0]), problem[1]),
)
