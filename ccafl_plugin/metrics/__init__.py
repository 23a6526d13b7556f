"""Evaluation with torchreid's numbers, without its full matrices."""

from ccafl_plugin.metrics.distances import Distances, FeatureDistances
from ccafl_plugin.metrics.rank import NoValidQuery, evaluate_features, evaluate_rank

__all__ = ["Distances", "FeatureDistances", "NoValidQuery", "evaluate_features", "evaluate_rank"]
