"""Evaluation with torchreid's numbers, without its full matrices."""

from ccafl_plugin.metrics.distances import Distances, FeatureDistances
from ccafl_plugin.metrics.rank import NoValidQuery, evaluate_features, evaluate_rank
from ccafl_plugin.metrics.rerank import RerankedDistances, re_ranking, rerank_features

__all__ = [
    "Distances",
    "FeatureDistances",
    "NoValidQuery",
    "RerankedDistances",
    "evaluate_features",
    "evaluate_rank",
    "re_ranking",
    "rerank_features",
]
