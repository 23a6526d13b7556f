"""Camera-aware re-ranking from features, and its scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.problems import Retrieval
from benchmarks.row import Row
from benchmarks.rows.evaluate_features import prepare
from benchmarks.rows.rerank_features import ROW as plain
from benchmarks.rows.rerank_features import scores_of_ours
from ccafl_plugin.metrics import CameraNeighbours, evaluate_rank

K1_INTRA, K1_INTER, K2_INTRA, K2_INTER, LAMBDA = 5, 20, 2, 4, 0.3


def matrix_camera_re_ranking(features: NDArray[np.float32], cameras: NDArray[Any], queries: int) -> NDArray[np.float32]:
    """(Q, G) distances by matrices of all images x all images, as the published code has them."""
    to = np.square(1 - features @ features.T)
    to /= to.max(axis=1, keepdims=True)
    own = cameras[:, None] == cameras[None, :]
    everyone = np.arange(len(features))[:, None]
    vectors = np.zeros_like(to)
    nearest = {}
    for is_own, count in ((True, K1_INTRA + 1), (False, K1_INTER)):
        order = np.argsort(np.where(own == is_own, to, np.inf), axis=1, kind="stable")[:, :count]
        listed = np.zeros(to.shape, dtype=bool)
        listed[everyone, order] = True
        listed &= own == is_own  # a camera with fewer images has shorter lists
        both = listed & listed.T
        vectors[both] = np.exp(-to[both])
        nearest[is_own] = order
    vectors /= vectors.sum(axis=1, keepdims=True)
    companions = np.concatenate([nearest[True][:, :K2_INTRA], nearest[False][:, :K2_INTER]], axis=1)
    vectors = np.stack([vectors[some].mean(axis=0) for some in companions])
    distances = np.empty((queries, len(features) - queries), dtype=np.float32)
    for query in range(queries):
        shared = np.minimum(vectors[query], vectors[queries:]).sum(axis=1)
        distances[query] = (1 - LAMBDA) * (1 - shared / (2 - shared)) + LAMBDA * to[query, queries:]
    return distances


def usual(problem: Retrieval) -> dict[str, Any]:
    features = torch.cat([problem.query, problem.gallery]).cpu().numpy()
    cameras = torch.cat([problem.q_camids, problem.g_camids]).numpy()
    distances = matrix_camera_re_ranking(features, cameras, len(problem.query))
    cmc, mean_average_precision = evaluate_rank(distances, *problem[2:])
    return {"cmc": cmc, "mAP": mean_average_precision}


def ours(problem: Retrieval) -> dict[str, Any]:
    cameras = torch.cat([problem.q_camids, problem.g_camids])
    return scores_of_ours(problem, CameraNeighbours(cameras, K1_INTRA, K1_INTER, K2_INTRA, K2_INTER))


ROW = Row(
    name="camera_rerank",
    title="camera-aware re-ranking from features and its scores, MSMT17's size",
    usual_title="NumPy with matrices of all images x all images",
    sizes=plain.sizes,
    prepare=prepare,
    usual=usual,
    ours=ours,
    bound=plain.bound,
    tolerance=1e-5,
    usual_size={"queries": 1500, "gallery": 10500, "identities": 390},
    # distances, vectors, their average, an int64 order, and what is sorted
    usual_bytes=lambda queries, gallery, **_: (queries + gallery) ** 2 * (4 + 4 + 4 + 8 + 4),
    on_gpu=True,
)
