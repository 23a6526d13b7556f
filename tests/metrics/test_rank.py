"""mAP and CMC against torchreid's Python evaluator with a stable sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ccafl_plugin.metrics import NoValidQuery, evaluate_features, evaluate_rank, rank_scores, stable_ranks
from ccafl_plugin.utils.errors import CCAFLError
from tests.metrics import problems
from tests.metrics.torchreid_stable import slow_evaluate_rank

sizes = {
    "queries": st.integers(1, 12),
    "gallery": st.integers(1, 150),
    "identities": st.integers(1, 9),
    "cameras": st.integers(1, 4),
    "coarse": st.booleans(),
    "seed": st.integers(0, 2**31),
}


@given(**sizes, max_rank=st.sampled_from([1, 5, 50]), wide=st.booleans(), invalid=st.booleans())
def test_equals_torchreid(queries, gallery, identities, cameras, coarse, seed, max_rank, wide, invalid):
    rng = np.random.default_rng(seed)
    matrix = problems.distances(rng, queries, gallery, coarse).astype(np.float64 if wide else np.float32)
    if invalid:
        matrix[rng.random(matrix.shape) < 0.1] = np.nan
    given_labels = problems.labels(rng, queries, gallery, identities, cameras)
    before = [array.copy() for array in (matrix, *given_labels)]
    try:
        expected_cmc, expected_map = slow_evaluate_rank(matrix, *given_labels, max_rank)
    except AssertionError as error:
        with pytest.raises(NoValidQuery, match=str(error)):
            evaluate_rank(matrix, *given_labels, max_rank)
        return
    except ValueError:  # curves of several lengths
        assume(False)
    cmc, mean_average_precision = evaluate_rank(matrix, *given_labels, max_rank)
    assert len(cmc) == min(max_rank, gallery)
    assert cmc.dtype == expected_cmc.dtype == np.float32
    assert type(mean_average_precision) is type(expected_map) is np.float64
    assert mean_average_precision == expected_map
    np.testing.assert_array_equal(cmc[: len(expected_cmc)], expected_cmc)
    assert (cmc[len(expected_cmc) :] == 1).all()
    for array, copy in zip((matrix, *given_labels), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(**sizes, max_rank=st.sampled_from([1, 5, 50]))
def test_single_shot_equals_torchreid_from_the_same_global_seed(
    queries, gallery, identities, cameras, coarse, seed, max_rank
):
    rng = np.random.default_rng(seed)
    matrix = problems.distances(rng, queries, gallery, coarse)
    arguments = (matrix, *problems.labels(rng, queries, gallery, identities, cameras), max_rank, True)
    try:
        np.random.seed(seed % 2**31)
        expected_cmc, expected_map = slow_evaluate_rank(*arguments)
        expected_next = np.random.random()
    except (AssertionError, ValueError):
        assume(False)
    np.random.seed(seed % 2**31)
    cmc, mean_average_precision = evaluate_rank(*arguments)
    assert mean_average_precision == expected_map
    assert cmc.dtype == expected_cmc.dtype
    np.testing.assert_array_equal(cmc, expected_cmc)
    assert np.random.random() == expected_next


def test_by_hand():
    """Query 0 finds its person behind a stranger; query 1's only image is of its own camera; query 2 has none."""
    distances = np.array([[0.0, 0.1, 0.2, 0.3], [0.0, 0.1, 0.2, 0.3], [0.0, 0.1, 0.2, 0.3]])
    q_pids, q_camids = [7, 8, 9], [1, 1, 1]
    g_pids, g_camids = [7, 8, 7, 7], [1, 1, 2, 2]
    cmc, mean_average_precision = evaluate_rank(distances, q_pids, g_pids, q_camids, g_camids, max_rank=4)
    assert cmc.tolist() == [0, 1, 1, 1]  # three images count, the curve goes on at its last value
    assert mean_average_precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    # The last of two right matches is third.
    assert rank_scores(distances, q_pids, g_pids, q_camids, g_camids).mean_inverse_negative_penalty == 2 / 3


def slow_penalty(matrix, q_pids, g_pids, q_camids, g_camids) -> float:
    """mINP from whole sorted galleries."""
    penalties = []
    for row, pid, camid in zip(matrix, q_pids, q_camids, strict=True):
        ranked = sorted(range(len(row)), key=lambda place: (row[place], place))
        ranked = [place for place in ranked if (g_pids[place], g_camids[place]) != (pid, camid)]
        right = [position for position, place in enumerate(ranked, 1) if g_pids[place] == pid]
        if right:
            penalties.append(len(right) / right[-1])
    return float(np.mean(penalties))


@given(**sizes)
def test_penalty_equals_a_sorted_gallery(queries, gallery, identities, cameras, coarse, seed):
    rng = np.random.default_rng(seed)
    matrix = problems.distances(rng, queries, gallery, coarse)
    given_labels = problems.labels(rng, queries, gallery, identities, cameras)
    try:
        cmc, mean_average_precision = evaluate_rank(matrix, *given_labels)
    except NoValidQuery:
        assume(False)
    scores = rank_scores(matrix, *given_labels)
    np.testing.assert_array_equal(scores.cmc, cmc)
    assert scores.mean_average_precision == mean_average_precision
    assert scores.mean_inverse_negative_penalty == pytest.approx(slow_penalty(matrix, *given_labels), rel=1e-12)
    assert scores.camera_pairs is None


def test_equal_distances_are_ranked_by_place():
    labels = ([1, 1], [0, 1, 0, 1], [0, 0], [1, 1, 1, 1])
    cmc, mean_average_precision = evaluate_rank(np.zeros((2, 4)), *labels)
    assert cmc.tolist() == [0, 1, 1, 1]
    assert mean_average_precision == 0.5


def test_a_gallery_smaller_than_the_curve(capsys):
    cmc, _ = evaluate_rank(np.array([[0.5, 0.1, 0.2]]), [1], [1, 1, 2], [0], [1, 0, 1])
    assert cmc.tolist() == [0, 1, 1]
    assert capsys.readouterr().out == "Note: number of gallery samples is quite small, got 3\n"
    evaluate_rank(np.array([[0.5, 0.1, 0.2]]), [1], [1, 1, 2], [0], [1, 0, 1], max_rank=3)
    assert capsys.readouterr().out == ""


def test_curves_of_several_lengths_go_on_at_their_last_value():
    """Of the first query only one image counts; torchreid fails here."""
    distances = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    labels = ([1, 2], [1, 1, 2], [0, 0], [0, 1, 1])
    with pytest.raises(ValueError):
        slow_evaluate_rank(distances, *[np.array(given) for given in labels], 3)
    assert evaluate_rank(distances, *labels, max_rank=3)[0].tolist() == [0.5, 0.5, 1]


def test_no_valid_query_is_torchreids_error_and_ours():
    for kind in (AssertionError, CCAFLError):
        with pytest.raises(kind, match="all query identities do not appear in gallery"):
            evaluate_rank(np.zeros((1, 1)), [1], [1], [0], [0])
    with pytest.raises(NoValidQuery):
        evaluate_rank(np.zeros((2, 0)), [1, 1], [], [0, 0], [])


@pytest.mark.parametrize(
    ("shape", "lengths"),
    [((2, 3), (3, 3, 2, 3)), ((2, 3), (2, 4, 2, 4)), ((2, 3), (2, 3, 2, 2)), ((6,), (2, 3, 2, 3))],
)
def test_shapes_that_do_not_fit(shape, lengths):
    with pytest.raises(CCAFLError, match=r"evaluate_rank needs distances \(Q, G\)"):
        evaluate_rank(np.zeros(shape), *[np.zeros(length, int) for length in lengths])


def test_any_layout_of_the_matrix_and_any_kind_of_array():
    rng = np.random.default_rng(0)
    matrix = problems.distances(rng, 70, 90, coarse=False)  # more rows than are taken at once
    labels = problems.labels(rng, 70, 90, 5, 3)
    expected_cmc, expected_map = slow_evaluate_rank(matrix, *labels)
    for given_matrix in (np.asfortranarray(matrix), torch.from_numpy(matrix), np.repeat(matrix, 2, axis=1)[:, ::2]):
        cmc, mean_average_precision = evaluate_rank(given_matrix, *[list(label) for label in labels])
        np.testing.assert_array_equal(cmc, expected_cmc)
        assert mean_average_precision == expected_map


def test_sorting_and_counting_agree(monkeypatch):
    rng = np.random.default_rng(0)
    matrix, labels = problems.distances(rng, 8, 90, coarse=True), problems.labels(rng, 8, 90, 2, 2)
    counted = evaluate_rank(matrix, *labels)
    monkeypatch.setattr(stable_ranks, "SORTED_FROM", 1)
    by_sorting = evaluate_rank(matrix, *labels)
    np.testing.assert_array_equal(counted[0], by_sorting[0])
    assert counted[1] == by_sorting[1]


@given(**sizes, metric=st.sampled_from(["euclidean", "cosine"]), block=st.integers(1, 400))
def test_from_features_equals_the_matrix(queries, gallery, identities, cameras, coarse, seed, metric, block):
    rng = np.random.default_rng(seed)
    labels = problems.labels(rng, queries, gallery, identities, cameras)
    labels[0][0], labels[1][0], labels[2][0], labels[3][0] = 0, 0, 0, 1  # one query has a match
    query, images = (torch.from_numpy(problems.distances(rng, n, 6, coarse)) for n in (queries, gallery))
    query[:, 0] += 1
    images[:, 0] += 1  # no feature is zero
    matrix = (
        (query[:, None].double() - images[None]).pow(2).sum(2)
        if metric == "euclidean"
        else 1 - torch.cosine_similarity(query[:, None].double(), images[None].double(), dim=2)
    )
    values = matrix.flatten().sort().values
    assume(not ((values.diff() > 0) & (values.diff() < 1e-5)).any())  # else rounding decides
    assume(metric == "euclidean" or (values.diff() > 0).all())  # equal cosines are not computed equal
    expected = evaluate_rank(matrix.numpy(), *labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccafl_plugin.metrics.distances.BLOCK_ELEMENTS", block)
        cmc, mean_average_precision = evaluate_features(query, images, *labels, metric=metric)
    np.testing.assert_allclose(cmc, expected[0], atol=1e-6)
    assert mean_average_precision == pytest.approx(expected[1], abs=1e-6)
