"""k-reciprocal re-ranking from features, and its scores."""

from __future__ import annotations

from typing import Any

import torch
import torchreid
from torch import Tensor

from benchmarks.problems import Retrieval, bare_product
from benchmarks.row import Row
from benchmarks.rows.evaluate_features import prepare
from benchmarks.rows.torchreid_evaluation import re_ranking as torchreids
from ccafl_plugin.metrics import evaluate_rank, rerank_features
from ccafl_plugin.metrics.neighbours import Neighbours


def usual(problem: Retrieval) -> dict[str, Any]:
    query, gallery = problem.query, problem.gallery
    matrices = [
        torchreid.metrics.compute_distance_matrix(*pair, "cosine").cpu().numpy()
        for pair in ((query, gallery), (query, query), (gallery, gallery))
    ]
    cmc, mean_average_precision = evaluate_rank(torchreids(*matrices), *problem[2:])
    return {"cmc": cmc, "mAP": mean_average_precision}


def scores_of_ours(problem: Retrieval, neighbours: Neighbours | None = None) -> dict[str, Any]:
    distances = rerank_features(problem.query, problem.gallery, "cosine", neighbours=neighbours)
    cmc, mean_average_precision = evaluate_rank(distances, *problem[2:])
    return {"cmc": cmc, "mAP": mean_average_precision}


def bound(problem: Retrieval) -> dict[str, Tensor]:
    """The products among all images."""
    features = torch.cat([problem.query, problem.gallery])
    return bare_product(features, features)


ROW = Row(
    name="rerank_features",
    title="k-reciprocal re-ranking from features and its scores, MSMT17's size",
    usual_title="torchreid's matrices and re_ranking",
    sizes={
        "full": {"queries": 11659, "gallery": 82161, "identities": 3060, "dim": 2048},
        "quick": {"queries": 60, "gallery": 600, "identities": 30, "dim": 64},
    },
    prepare=prepare,
    usual=usual,
    ours=scores_of_ours,
    bound=bound,
    tolerance=1e-6,
    usual_size={"queries": 3000, "gallery": 21000, "identities": 780},
    # three matrices, their concatenation, its square and quotient, the vectors, and an int64 order of everything
    usual_bytes=lambda queries, gallery, **_: (queries + gallery) ** 2 * (4 + 4 + 4 + 8),
    on_gpu=True,
)
