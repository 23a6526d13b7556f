"""Small evaluations with ties, junk, distractors and queries without a match."""

from __future__ import annotations

import numpy as np


def labels(rng: np.random.Generator, queries: int, gallery: int, identities: int, cameras: int) -> tuple:
    """(q_pids, g_pids, q_camids, g_camids); identity -1 is in the gallery only, some identities in the queries only."""
    return (
        rng.integers(0, identities + 1, queries),
        rng.integers(-1, identities, gallery),
        rng.integers(0, cameras, queries),
        rng.integers(0, cameras, gallery),
    )


def distances(rng: np.random.Generator, queries: int, gallery: int, coarse: bool) -> np.ndarray:
    """(Q, G) float32; ``coarse``: whole numbers, so that most distances occur several times."""
    matrix = rng.random((queries, gallery), dtype=np.float32)
    return np.round(9 * matrix) if coarse else matrix
