"""mAP and CMC from a matrix of distances."""

from __future__ import annotations

from typing import Any

from benchmarks.problems import retrieval
from benchmarks.row import Row
from benchmarks.rows.torchreid_evaluation import evaluate_rank as torchreids
from ccafl_plugin.metrics import FeatureDistances, evaluate_rank


def prepare(queries: int, gallery: int, identities: int, device: str) -> tuple:
    problem = retrieval(queries, gallery, identities, cameras=6, dim=64)
    return (FeatureDistances(problem.query, problem.gallery).__array__(), *(given.numpy() for given in problem[2:]))


def ours(problem: tuple) -> dict[str, Any]:
    cmc, mean_average_precision = evaluate_rank(*problem)
    return {"cmc": cmc, "mAP": mean_average_precision}


ROW = Row(
    name="evaluate_rank",
    title="mAP and CMC from a matrix, Market-1501's size (3368 x 15913)",
    usual_title="torchreid's Python evaluator",
    sizes={
        "full": {"queries": 3368, "gallery": 15913, "identities": 750},
        "quick": {"queries": 60, "gallery": 900, "identities": 30},
    },
    prepare=prepare,
    usual=lambda problem: torchreids(*problem),
    ours=ours,
)
