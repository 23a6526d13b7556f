"""Evaluation with the same numbers as torchreid, but without its full matrices.

- ``rank``: mAP, CMC and mINP; ``distances`` computes rows on demand, ``single_shot`` is CUHK03's protocol;
- ``rerank``: k-reciprocal re-ranking; ``all_pairs``, ``nearest``, ``neighbours`` and ``reciprocal`` are its parts;
- ``random_ranking``: scores of a random ranking; ``camera_probe``: how well a probe predicts the camera;
- ``complexity``: parameters and multiply-adds of a model; ``watched_scores``: all scores of an evaluation;
- ``camera_normalization``, ``camera_neighbours``, ``camera_pairs``: evaluation that uses cameras;
  ``features_with_cameras`` checks what the first is given.
"""

from ccafl_plugin.metrics.camera_neighbours import CameraNeighbours
from ccafl_plugin.metrics.camera_normalization import CameraStatistics
from ccafl_plugin.metrics.distances import Distances, FeatureDistances
from ccafl_plugin.metrics.rank import NoValidQuery, RankScores, evaluate_features, evaluate_rank, rank_scores
from ccafl_plugin.metrics.rerank import RerankedDistances, re_ranking, rerank_features

__all__ = [
    "CameraNeighbours",
    "CameraStatistics",
    "Distances",
    "FeatureDistances",
    "NoValidQuery",
    "RankScores",
    "RerankedDistances",
    "evaluate_features",
    "evaluate_rank",
    "rank_scores",
    "re_ranking",
    "rerank_features",
]
