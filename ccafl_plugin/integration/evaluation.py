"""torchreid's evaluation and re-ranking on :mod:`ccafl_plugin.metrics`, its engines' without full distance matrices.

``Engine._evaluate`` itself stays torchreid's. It hands a matrix of distances from ``compute_distance_matrix`` to
``re_ranking`` and ``evaluate_rank``; here that matrix becomes one that computes its rows when they are read, if asked
for of features without what their cameras add (:mod:`~ccafl_plugin.integration.camera_evaluation`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ccafl_plugin import metrics as fast
from ccafl_plugin.integration import camera_evaluation
from ccafl_plugin.integration.changes import Change, replace_everywhere, set_attribute
from ccafl_plugin.integration.torchreid_layout import (
    IncompatibleTorchreid,
    attribute,
    require_parameters,
    torchreid_module,
)
from ccafl_plugin.metrics.watched_scores import Scores, is_watched, show_scores
from ccafl_plugin.options import options


class EngineMetrics(ModuleType):
    """Replaces ``metrics`` in the module of torchreid's ``Engine``: the same module, but with distances on demand.

    Args:
        metrics: torchreid's ``metrics``; all other names are looked up in it.
        readers_in_place: returns True if all functions that get the distances can read them on demand.
    """

    def __init__(self, metrics: ModuleType, readers_in_place: Callable[[], bool]) -> None:
        super().__init__(metrics.__name__, metrics.__doc__)
        self._metrics = metrics
        self._readers_in_place = readers_in_place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metrics, name)

    def compute_distance_matrix(self, input1: Any, input2: Any, metric: str = "euclidean") -> Any:
        """torchreid's matrix, or an object with distances on demand."""
        test = camera_evaluation.running()
        if test is not None:
            input1, input2 = test.normalized(input1, input2)
        if self._readers_in_place():
            return fast.FeatureDistances(input1, input2, metric)
        return self._metrics.compute_distance_matrix(input1, input2, metric)


def evaluation_changes() -> list[Change]:
    """``evaluate_rank`` and ``re_ranking``, and the engine's ``metrics``."""
    metrics, engine = torchreid_module("metrics"), torchreid_module("engine.engine")
    if attribute("engine.engine", "metrics", ModuleType) is not metrics:
        raise IncompatibleTorchreid(f"{engine.__name__} does not use {metrics.__name__}")
    compute_distance_matrix = attribute("metrics", "compute_distance_matrix")
    original_rank = attribute("metrics.rank", "evaluate_rank")
    original_reranking = attribute("utils.rerank", "re_ranking")
    own_rank = inspect.signature(fast.evaluate_rank)
    require_parameters(compute_distance_matrix, "input1", "input2", "metric")
    require_parameters(original_rank, "distmat", "q_pids", "g_pids", "q_camids", "g_camids", "max_rank")
    require_parameters(original_reranking, "q_g_dist", "q_q_dist", "g_g_dist", "k1", "k2", "lambda_value")

    @functools.wraps(original_rank)
    def evaluate_rank(*args: Any, **kwargs: Any) -> Any:
        if not options.fast_evaluation:
            scores = Scores(*original_rank(*args, **kwargs))
        elif is_watched():
            given = own_rank.bind(*args, **kwargs).arguments
            given.pop("use_cython", None)
            scores = Scores(*fast.rank_scores(**given, camera_pairs=True))
        else:
            return fast.evaluate_rank(*args, **kwargs)
        show_scores(scores)
        return scores.cmc, scores.mean_average_precision

    @functools.wraps(original_reranking)
    def re_ranking(*args: Any, **kwargs: Any) -> Any:
        test = camera_evaluation.running()
        if test is not None and options.camera_rerank:
            kwargs["neighbours"] = test.neighbours()
            return fast.re_ranking(*args, **kwargs)
        return (fast.re_ranking if options.fast_evaluation else original_reranking)(*args, **kwargs)

    def readers_in_place() -> bool:
        """False if a program has replaced one of the functions since."""
        found = (metrics.compute_distance_matrix, metrics.evaluate_rank, engine.re_ranking)
        return options.fast_evaluation and found == (compute_distance_matrix, evaluate_rank, re_ranking)

    return [
        *replace_everywhere(original_rank, evaluate_rank, "metrics.rank", "metrics"),
        *replace_everywhere(original_reranking, re_ranking, "utils.rerank", "engine.engine"),
        set_attribute(engine, "metrics", EngineMetrics(metrics, readers_in_place)),
    ]


def test_changes() -> list[Change]:
    """``Engine.test`` skips datasets without query or gallery and prints a line about it."""
    engine = attribute("engine.engine", "Engine", type)
    original = engine.test

    @functools.wraps(original)
    def test(self: Any, *args: Any, **kwargs: Any) -> Any:
        loaders = self.test_loader
        self.test_loader = {
            name: pair for name, pair in loaders.items() if all(len(pair[part]) for part in ("query", "gallery"))
        }
        try:
            if left_out := [name for name in loaders if name not in self.test_loader]:
                print(
                    f"No evaluation on {', '.join(left_out)}: there is no query and gallery with ids that hold across "
                    "cameras. ccafl.data.queries names a few such images, ccafl.data.pairs labelled pairs, -t another "
                    "dataset."
                )
            return original(self, *args, **kwargs) if self.test_loader else 0.0
        finally:
            self.test_loader = loaders

    return [set_attribute(engine, "test", test)]
