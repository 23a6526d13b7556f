"""The expected scores of a random ranking, the chance level of every retrieval result."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ccafl_plugin.metrics.rank import MAX_RANK, NoValidQuery


def random_ranking(
    q_pids: ArrayLike, g_pids: ArrayLike, q_camids: ArrayLike, g_camids: ArrayLike, max_rank: int = MAX_RANK
) -> tuple[NDArray[np.float64], float]:
    """Expected CMC curve and mean average precision of a gallery in random order, exactly.

    Gallery images of the query's identity and camera do not count, and queries without a match are skipped, as in
    :func:`~ccafl_plugin.metrics.rank.evaluate_rank`. With k matches among n images that count,

        E[AP] = H_n / n + (k - 1) (n - H_n) / (n (n - 1)),   H_n = 1 + 1/2 + ... + 1/n
        P[a match within the first r] = 1 - C(n - k, r) / C(n, r)

    because a position has a match with probability k / n, and two positions both have one with probability
    k (k - 1) / (n (n - 1)).

    Args:
        q_pids: (Q,) identities of the queries.
        g_pids: (G,) identities of the gallery.
        q_camids: (Q,) cameras of the queries.
        g_camids: (G,) cameras of the gallery.
        max_rank: length of the CMC curve.

    Returns:
        The (max_rank,) float64 CMC curve and the mAP, shares in [0, 1].

    Raises:
        NoValidQuery: no query has a match.
    """
    query = list(zip(np.asarray(q_pids).tolist(), np.asarray(q_camids).tolist(), strict=True))
    gallery = list(zip(np.asarray(g_pids).tolist(), np.asarray(g_camids).tolist(), strict=True))
    of_person: dict[int, int] = {}
    of_proxy: dict[tuple[int, int], int] = {}
    for pid, camera in gallery:
        of_person[pid] = of_person.get(pid, 0) + 1
        of_proxy[pid, camera] = of_proxy.get((pid, camera), 0) + 1
    own = np.array([of_proxy.get(proxy, 0) for proxy in query], dtype=np.int64)
    matches = np.array([of_person.get(pid, 0) for pid, _ in query], dtype=np.int64) - own
    counted = len(gallery) - own
    counted, matches = counted[matches > 0], matches[matches > 0]
    if not len(matches):
        raise NoValidQuery("No query has a match in another camera, so no score can be computed.")
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(gallery) + 1))])[counted]
    pairs = (matches - 1) * (counted - harmonic) / np.maximum(counted - 1, 1)
    precision = (harmonic + pairs) / counted
    places = np.arange(max_rank)
    wrong = np.maximum(counted[:, None] - matches[:, None] - places, 0) / np.maximum(counted[:, None] - places, 1)
    return (1 - np.cumprod(wrong, axis=1)).mean(axis=0), float(precision.mean())
