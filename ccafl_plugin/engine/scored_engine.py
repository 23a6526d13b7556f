"""What every engine of this package keeps of its tests, beside what torchreid prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torchreid

from ccafl_plugin.engine.state import History
from ccafl_plugin.metrics.watched_scores import RANKS, watched_scores


class ScoredEngine(torchreid.engine.Engine):
    """torchreid's engine with the scores of its tests and a history. It changes no number.

    It stands before any of torchreid's engines in a list of base classes.

    Attributes:
        results: per target dataset the scores of its last test, shares in [0, 1]: ``mAP``, ``rank1``, and the other
            ranks that are printed.
        history: of the run.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.results: dict[str, dict[str, float]] = {}
        self.history = History()

    def _evaluate(self, dataset_name: str = "", ranks: Sequence[int] = RANKS, **settings: Any) -> tuple[float, float]:
        """torchreid's. Ranks beyond the gallery's size are left out.

        Returns:
            Rank-1 and mAP as plain numbers: a checkpoint with NumPy's could not be read again.
        """
        images = len(settings["gallery_loader"].dataset)
        shown = [rank for rank in ranks if rank <= images]
        with watched_scores() as seen:
            rank1, mean_average_precision = super()._evaluate(dataset_name=dataset_name, ranks=shown, **settings)
        curve = {f"rank{rank}": float(scores.cmc[rank - 1]) for scores in seen for rank in shown}
        self.results[dataset_name] = {"mAP": float(mean_average_precision), "rank1": float(rank1), **curve}
        return float(rank1), float(mean_average_precision)
