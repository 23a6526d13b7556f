"""mAP and CMC from features."""

from __future__ import annotations

from typing import Any

import torchreid

from benchmarks.problems import Retrieval, bare_product, retrieval
from benchmarks.row import Row
from benchmarks.rows.torchreid_evaluation import evaluate_rank as torchreids
from ccafl_plugin.metrics import evaluate_features


def prepare(queries: int, gallery: int, identities: int, dim: int, device: str) -> Retrieval:
    problem = retrieval(queries, gallery, identities, cameras=15, dim=dim)
    return Retrieval(problem.query.to(device), problem.gallery.to(device), *problem[2:])


def usual(problem: Retrieval) -> dict[str, Any]:
    matrix = torchreid.metrics.compute_distance_matrix(problem.query, problem.gallery, "cosine")
    return torchreids(matrix.cpu().numpy(), *(given.numpy() for given in problem[2:]))


def ours(problem: Retrieval) -> dict[str, Any]:
    cmc, mean_average_precision = evaluate_features(*problem, metric="cosine")
    return {"cmc": cmc, "mAP": mean_average_precision}


ROW = Row(
    name="evaluate_features",
    title="mAP and CMC from features, MSMT17's size (11659 x 82161 x 2048)",
    usual_title="torchreid's matrix, then its Python evaluator",
    sizes={
        "full": {"queries": 11659, "gallery": 82161, "identities": 3060, "dim": 2048},
        "quick": {"queries": 60, "gallery": 900, "identities": 30, "dim": 64},
    },
    prepare=prepare,
    usual=usual,
    ours=ours,
    bound=lambda problem: bare_product(problem.query, problem.gallery),
    tolerance=1e-6,
    usual_size={"queries": 1500},
    # float32 distances, int64 order, bool and int32 matches
    usual_bytes=lambda queries, gallery, **_: queries * gallery * (4 + 8 + 1 + 4),
    on_gpu=True,
)
