"""mAP, CMC and mINP, without sorting the gallery for each query; torchreid has the first two, with equal numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ccafl_plugin.metrics.camera_pairs import CameraPairs, CameraPairScores
from ccafl_plugin.metrics.distances import Distances, FeatureDistances
from ccafl_plugin.metrics.single_shot import SingleShot
from ccafl_plugin.metrics.stable_ranks import stable_ranks
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.progress import watched

ROWS_AT_ONCE = 64  # rows that are copied together if a matrix is not contiguous by rows
MAX_RANK = 50
"""torchreid's default length of a CMC curve."""


class NoValidQuery(CCAFLError, AssertionError):
    """No query has a match. torchreid raises an AssertionError here, so this is also an AssertionError."""


class Ranking(NamedTuple):
    """The positions of a query's matches among the gallery images that count."""

    positions: NDArray[np.int64]  # (k,) ascending, from 0; k >= 1
    length: int  # number of gallery images, without those of the query's identity and camera


class RankScores(NamedTuple):
    """Scores of a ranking, shares in [0, 1]."""

    cmc: NDArray[np.float32]  # (max_rank,)
    mean_average_precision: np.float64
    mean_inverse_negative_penalty: np.float64
    camera_pairs: CameraPairScores | None  # None unless asked for


def evaluate_rank(
    distmat: ArrayLike | Distances,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    max_rank: int = MAX_RANK,
    use_metric_cuhk03: bool = False,
    use_cython: bool = True,  # noqa: ARG001
) -> tuple[NDArray[np.float32], np.float64]:
    """CMC curve and mean average precision; replaces torchreid's function of this name.

    Gallery images of the query's identity and camera do not count. A query without a match in another camera is
    skipped. Equal distances are ranked by the position in the gallery; torchreid's evaluator leaves their order to
    NumPy's unstable sort. Apart from ties the results are bit-equal to those of torchreid's Python evaluator.

    Args:
        distmat: (Q, G) float distances, or :class:`~ccafl_plugin.metrics.distances.Distances`, which are read a
            block of rows at a time. NaN ranks after all other values.
        q_pids: (Q,) identities of the queries.
        g_pids: (G,) identities of the gallery.
        q_camids: (Q,) cameras of the queries.
        g_camids: (G,) cameras of the gallery.
        max_rank: length of the CMC curve; cut to G, with torchreid's note, if the gallery is smaller. If fewer images
            count for a query, it stays found behind the last of them (torchreid fails there).
        use_metric_cuhk03: CMC by drawing one gallery image per identity, ten times. The draws are torchreid's, from
            NumPy's global generator, and the curve is not longer than the gallery has identities.
        use_cython: without effect; kept for torchreid's signature.

    Returns:
        The (max_rank,) float32 CMC curve and the float64 mAP.

    Raises:
        NoValidQuery: no query has a right match.
        CCAFLError: shapes that don't fit.
    """
    return rank_scores(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03)[:2]


def rank_scores(
    distmat: ArrayLike | Distances,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    max_rank: int = MAX_RANK,
    use_metric_cuhk03: bool = False,
    camera_pairs: bool = False,
) -> RankScores:
    """:func:`evaluate_rank` with mINP, and if asked for mAP by pairs of cameras, from one reading of the distances.

    The inverse negative penalty (Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI
    2021) of a query with k right matches is k / (place of the last one, from 1): the work of whoever wants them all.

    Args:
        distmat: see :func:`evaluate_rank`, as all that follow up to ``camera_pairs``.
        q_pids: (Q,) identities of the queries.
        g_pids: (G,) identities of the gallery.
        q_camids: (Q,) cameras of the queries.
        g_camids: (G,) cameras of the gallery.
        max_rank: length of the CMC curve.
        use_metric_cuhk03: CMC by drawing one gallery image per identity; the other scores are of the whole gallery.
        camera_pairs: also mAP by :class:`~ccafl_plugin.metrics.camera_pairs.CameraPairs`.

    Raises:
        NoValidQuery: no query has a right match.
        CCAFLError: shapes that don't fit.
    """
    distances = distmat if isinstance(distmat, Distances) else np.asarray(distmat)
    labels = [np.asarray(given) for given in (q_pids, g_pids, q_camids, g_camids)]
    query_ids, gallery_ids, query_cameras, gallery_cameras = labels
    _check(distances.shape, labels)
    if distances.shape[1] < max_rank:
        max_rank = distances.shape[1]
        print(f"Note: number of gallery samples is quite small, got {max_rank}")

    members, starts, stops = _images_of_identity(gallery_ids, query_ids)
    precision_at = np.zeros(distances.shape[1])  # precision at the right matches, 0 elsewhere; empty between queries
    single_shot = SingleShot(gallery_ids, max_rank) if use_metric_cuhk03 else None
    pairs = CameraPairs(query_cameras, gallery_cameras) if camera_pairs else None
    first_matches, precisions, penalties = [], [], []
    for query, row in watched(_rows(distances), distances.shape[0], "queries", "Evaluation"):
        same = members[starts[query] : stops[query]]
        junk = gallery_cameras[same] == query_cameras[query]
        if junk.all():
            continue
        ranking = _rank(row, same, junk)
        first_matches.append(ranking.positions[0])
        precisions.append(_average_precision(ranking, precision_at))
        penalties.append(len(ranking.positions) / (ranking.positions[-1] + 1.0))
        if single_shot is not None:
            single_shot.add(row, same[junk], query_ids[query])
        if pairs is not None:
            pairs.add(query, row, same[~junk])
    if not precisions:
        raise NoValidQuery(
            "Error: all query identities do not appear in gallery, or only in the query's own camera. "
            "Check that query and gallery belong together."
        )
    cmc = _curve(first_matches, max_rank) if single_shot is None else single_shot.curve()
    return RankScores(
        cmc,
        np.float64(np.mean(precisions)),
        np.float64(np.mean(penalties)),
        None if pairs is None else pairs.scores(),
    )


def evaluate_features(
    query_features: Tensor,
    gallery_features: Tensor,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    metric: str = "euclidean",
    max_rank: int = MAX_RANK,
    use_metric_cuhk03: bool = False,
) -> tuple[NDArray[np.float32], np.float64]:
    """:func:`evaluate_rank` from features; 64 MB of the distance matrix are in memory at a time.

    Args:
        query_features: (Q, D) float, on any device.
        gallery_features: (G, D) float, on the same device.
        q_pids: (Q,) identities of the queries.
        g_pids: (G,) identities of the gallery.
        q_camids: (Q,) cameras of the queries.
        g_camids: (G,) cameras of the gallery.
        metric: ``euclidean`` or ``cosine``, see :class:`~ccafl_plugin.metrics.distances.FeatureDistances`.
        max_rank: length of the CMC curve.
        use_metric_cuhk03: see :func:`evaluate_rank`.

    Returns:
        The (max_rank,) float32 CMC curve and the float64 mAP. Distances that differ only by rounding may be ranked
        differently than in a matrix that is computed at once.

    Raises:
        NoValidQuery: no query has a right match.
        CCAFLError: shapes that don't fit, or an unknown metric.
    """
    distances = FeatureDistances(query_features, gallery_features, metric)
    return evaluate_rank(distances, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03)


def _check(shape: tuple[int, ...], labels: list[NDArray[Any]]) -> None:
    expected = [shape[0], shape[-1], shape[0], shape[-1]]
    if len(shape) != 2 or [label.shape for label in labels] != [(length,) for length in expected]:
        raise CCAFLError(
            "evaluate_rank needs distances (Q, G), q_pids (Q,), g_pids (G,), q_camids (Q,) and g_camids (G,), got "
            f"{', '.join(str(given) for given in (tuple(shape), *(label.shape for label in labels)))}."
        )


def _images_of_identity(
    gallery_ids: NDArray[Any], query_ids: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Gallery positions grouped by identity, ascending in each group, and each query's group as [start, stop)."""
    members = np.argsort(gallery_ids, kind="stable")
    grouped = gallery_ids[members]
    return members, np.searchsorted(grouped, query_ids, "left"), np.searchsorted(grouped, query_ids, "right")


def _rows(distances: NDArray[Any] | Distances) -> Iterator[tuple[int, NDArray[Any]]]:
    """(query, its distances in one piece of memory) of each query."""
    if isinstance(distances, Distances):
        blocks = distances.blocks()
    else:
        blocks = ((first, distances[first : first + ROWS_AT_ONCE]) for first in range(0, len(distances), ROWS_AT_ONCE))
    for first, rows in blocks:
        yield from enumerate(np.ascontiguousarray(rows), first)


def _rank(row: NDArray[Any], same: NDArray[np.int64], junk: NDArray[np.bool_]) -> Ranking:
    """Positions of the right matches once the junk has been taken out of the ranking."""
    ranks = stable_ranks(row, same)
    order = np.argsort(ranks)
    junk_so_far = np.cumsum(junk[order])
    return Ranking((ranks[order] - junk_so_far)[~junk[order]], len(row) - int(junk_so_far[-1]))


def _average_precision(ranking: Ranking, precision_at: NDArray[np.float64]) -> np.float64:
    """Precision at the right matches, averaged; added up at their places, so that rounding is as in torchreid."""
    found = len(ranking.positions)
    precision_at[ranking.positions] = np.arange(1, found + 1) / (ranking.positions + 1.0)
    total = precision_at[: ranking.length].sum()
    precision_at[ranking.positions] = 0
    mean: np.float64 = total / found
    return mean


def _curve(first_matches: list[np.int64], max_rank: int) -> NDArray[np.float32]:
    """Share of the queries whose first right match stands within each rank."""
    found_at = np.bincount(first_matches, minlength=max_rank)[:max_rank]
    curve: NDArray[np.float32] = np.cumsum(found_at).astype(np.float32) / np.float32(len(first_matches))
    return curve
