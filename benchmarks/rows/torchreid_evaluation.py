"""torchreid's own evaluation as the usual way, with stable sorts so that ties can be compared."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import torchreid


class StableNumpy:
    """NumPy with a stable ``argsort``, and with ``np.bool``, which NumPy 1.24 to 1.26 don't have."""

    bool = np.bool_

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def argsort(values: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.argsort(values, axis=axis, kind="stable")


def module(name: str) -> Any:
    """One of torchreid's modules in either of its distributions, with stable sorts."""
    package = torchreid.data.__name__.rpartition(".")[0]
    importlib.import_module(f"{package}.{name}")
    found = sys.modules[f"{package}.{name}"]
    found.np = StableNumpy()
    return found


def evaluate_rank(*arguments: Any) -> dict[str, Any]:
    """torchreid's Python evaluator."""
    cmc, mean_average_precision = module("metrics.rank").evaluate_py(*arguments, 50, False)
    return {"cmc": cmc, "mAP": mean_average_precision}


def re_ranking(*arguments: Any) -> np.ndarray:
    """torchreid's own function, also where the plugin has taken its name."""
    registered = module("utils.rerank").re_ranking
    return getattr(registered, "__wrapped__", registered)(*arguments)
