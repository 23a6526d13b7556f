"""The whole CMC curve of an evaluation, for whoever calls torchreid's ``_evaluate``, which returns Rank-1 and mAP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RANKS = (1, 5, 10, 20)
"""The ranks that torchreid prints unless it is told otherwise."""


class Scores(NamedTuple):
    """What one call of ``evaluate_rank`` gave."""

    cmc: NDArray[np.float32]  # (max_rank,)
    mean_average_precision: float


_watchers: list[list[Scores]] = []


@contextmanager
def watched_scores() -> Iterator[list[Scores]]:
    """A list that fills with the scores of torchreid's ``evaluate_rank`` inside the ``with`` block.

    torchreid's ``_evaluate`` prints the CMC curve but returns its first value only.
    """
    seen: list[Scores] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers[:] = [each for each in _watchers if each is not seen]  # two lists of scores may be equal


def show_scores(cmc: NDArray[np.float32], mean_average_precision: float) -> None:
    """Hands the scores of one evaluation to every list that :func:`watched_scores` has open."""
    for seen in _watchers:
        seen.append(Scores(cmc, mean_average_precision))
