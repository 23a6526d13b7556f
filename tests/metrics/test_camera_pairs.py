"""mAP by pairs of cameras, against torchreid's evaluator on each pair's part of the matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ccafl_plugin.metrics import FeatureDistances, NoValidQuery, rank_scores, stable_ranks
from tests.metrics import problems
from tests.metrics.torchreid_stable import slow_evaluate_rank


def slow_pair(matrix, q_pids, g_pids, q_camids, g_camids, asked_by, seen_by) -> tuple[float, int]:
    """mAP of one pair of cameras, and how many queries count."""
    rows, columns = np.flatnonzero(q_camids == asked_by), np.flatnonzero(g_camids == seen_by)
    count = sum(bool((g_pids[columns] == q_pids[row]).any()) for row in rows) if asked_by != seen_by else 0
    if not count:
        return float("nan"), 0
    part = matrix[np.ix_(rows, columns)], q_pids[rows], g_pids[columns], q_camids[rows], g_camids[columns]
    return float(slow_evaluate_rank(*part, max_rank=1)[1]), count


@given(
    queries=st.integers(1, 15),
    gallery=st.integers(5, 90),
    identities=st.integers(1, 6),
    cameras=st.integers(1, 5),
    coarse=st.booleans(),
    counted=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_torchreid_on_each_pair(queries, gallery, identities, cameras, coarse, counted, seed):
    rng = np.random.default_rng(seed)
    matrix = problems.distances(rng, queries, gallery, coarse)
    q_pids, g_pids, q_camids, g_camids = problems.labels(rng, queries, gallery, identities, cameras)
    q_camids, g_camids = 3 * q_camids - 2, 3 * g_camids - 2
    before = matrix.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stable_ranks, "SORTED_FROM", 400 if counted else 1)
        try:
            found = rank_scores(matrix, q_pids, g_pids, q_camids, g_camids, camera_pairs=True).camera_pairs
        except NoValidQuery:
            assume(False)
    assert found.query_cameras == tuple(np.unique(q_camids).tolist())
    assert found.gallery_cameras == tuple(np.unique(g_camids).tolist())
    for a, asked_by in enumerate(found.query_cameras):
        for b, seen_by in enumerate(found.gallery_cameras):
            expected = slow_pair(matrix, q_pids, g_pids, q_camids, g_camids, asked_by, seen_by)
            assert found.queries[a, b] == expected[1]
            np.testing.assert_allclose(found.mean_average_precision[a, b], expected[0], rtol=1e-12)
    np.testing.assert_array_equal(matrix, before)


def test_by_hand_from_distances_on_demand() -> None:
    """Person 7 of camera 1: found in camera 2 behind a stranger, in camera 3 at once; nobody asks camera 4 for them."""
    gallery = torch.tensor([[0.1], [0.2], [0.3], [0.4], [0.5]])
    distances = FeatureDistances(torch.zeros(1, 1), gallery)
    found = rank_scores(distances, [7], [7, 8, 7, 7, 8], [1], [1, 2, 2, 3, 4], camera_pairs=True).camera_pairs
    assert (found.query_cameras, found.gallery_cameras) == ((1,), (1, 2, 3, 4))
    np.testing.assert_array_equal(found.mean_average_precision, [[np.nan, 0.5, 1, np.nan]])
    np.testing.assert_array_equal(found.queries, [[0, 1, 1, 0]])
