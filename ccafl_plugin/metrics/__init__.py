"""Evaluation with torchreid's numbers, without its full matrices."""

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
