"""Collects all scores of an evaluation, because torchreid's ``_evaluate`` returns only Rank-1 and mAP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from ccafl_plugin.metrics.camera_pairs import CameraPairScores

RANKS = (1, 5, 10, 20)
"""The ranks that torchreid prints by default."""


class Scores(NamedTuple):
    """What one call of ``evaluate_rank`` gave; torchreid's own function does not give all of it."""

    cmc: NDArray[np.float32]  # (max_rank,)
    mean_average_precision: float
    mean_inverse_negative_penalty: float | None = None
    camera_pairs: CameraPairScores | None = None


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


def is_watched() -> bool:
    """True if any :func:`watched_scores` is open, so that more scores than those of ``evaluate_rank`` are needed."""
    return bool(_watchers)


def show_scores(scores: Scores) -> None:
    """Adds the scores of one evaluation to every open list of :func:`watched_scores`."""
    for seen in _watchers:
        seen.append(scores)


def named_scores(seen: Sequence[Scores], ranks: Sequence[int]) -> dict[str, float]:
    """What ``_evaluate`` does not return: ``rank5`` and so on for the given ranks, and ``mINP`` where it is known."""
    named: dict[str, float] = {}
    for scores in seen:
        named |= {f"rank{rank}": float(scores.cmc[rank - 1]) for rank in ranks}
        if scores.mean_inverse_negative_penalty is not None:
            named["mINP"] = float(scores.mean_inverse_negative_penalty)
    return named


def camera_pairs_of(seen: Sequence[Scores]) -> dict[str, Any]:
    """mAP by pairs of cameras as lists, ready for JSON; empty where it is not known."""
    found = [scores.camera_pairs for scores in seen if scores.camera_pairs is not None]
    if not found:
        return {}
    pairs = found[-1]
    return {
        "query_cameras": list(pairs.query_cameras),
        "gallery_cameras": list(pairs.gallery_cameras),
        "mAP": pairs.mean_average_precision.tolist(),
        "queries": pairs.queries.tolist(),
    }


def print_more(seen: Sequence[Scores]) -> None:
    """Prints what torchreid's ``_evaluate`` does not: mINP, and mAP by pairs of cameras where there are several."""
    for scores in seen:
        if scores.mean_inverse_negative_penalty is not None:
            print(f"mINP: {scores.mean_inverse_negative_penalty:.1%}")
        pairs = scores.camera_pairs
        if pairs is not None and len(pairs.query_cameras) * len(pairs.gallery_cameras) > 1:
            rows = [
                [camera, *("-" if np.isnan(share) else f"{share:.1%}" for share in row)]
                for camera, row in zip(pairs.query_cameras, pairs.mean_average_precision, strict=True)
            ]
            print("mAP by camera of the query (rows) and of the gallery (columns)")
            print(tabulate(rows, headers=["", *pairs.gallery_cameras], tablefmt="plain", stralign="right"))
