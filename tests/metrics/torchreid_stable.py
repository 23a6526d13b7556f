"""torchreid's own evaluation as the slow version, with the one thing that it leaves open decided: ties."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ccafl_plugin.integration.torchreid_layout import torchreid_module


class StableNumpy:
    """NumPy with a stable ``argsort``, and with ``np.bool``, which NumPy 1.24 to 1.26 don't have."""

    bool = np.bool_

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def argsort(values: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.argsort(values, axis=axis, kind="stable")


@contextmanager
def stable_sorts(module: str) -> Iterator[Any]:
    """One of torchreid's modules, such as ``metrics.rank``, whose sorts are stable inside the ``with`` block."""
    found = torchreid_module(module)
    before = found.np
    found.np = StableNumpy()
    try:
        yield found
    finally:
        found.np = before


def slow_evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids, max_rank=50, use_metric_cuhk03=False):
    with stable_sorts("metrics.rank") as rank:
        return rank.evaluate_py(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03)


def slow_re_ranking(*arguments: Any, **settings: Any) -> np.ndarray:
    """torchreid's function, also where the registered one has taken its name."""
    with stable_sorts("utils.rerank") as rerank:
        return getattr(rerank.re_ranking, "__wrapped__", rerank.re_ranking)(*arguments, **settings)
