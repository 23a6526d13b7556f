"""Re-ranked distances against torchreid's function with a stable sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.metrics import FeatureDistances, RerankedDistances, evaluate_rank, re_ranking, rerank_features
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import in_child, memory_growth
from tests.metrics.torchreid_stable import slow_re_ranking


def features(seed: int, queries: int, gallery: int, identities: int, dim: int, coarse: bool) -> tuple[Tensor, Tensor]:
    """Clouds around a centre per identity; ``coarse``: on a grid, so that many coincide and distances are exact."""
    rng = torch.Generator().manual_seed(seed)
    person = torch.randint(identities, (queries + gallery,), generator=rng)
    rows = torch.randn(identities, dim, generator=rng)[person] + torch.randn(len(person), dim, generator=rng)
    rows = rows.round() if coarse else F.normalize(rows, dim=1)
    return rows[:queries], rows[queries:]


def matrices(query: Tensor, gallery: Tensor, metric: str = "euclidean") -> list[np.ndarray]:
    pairs = ((query, gallery), (query, query), (gallery, gallery))
    return [np.asarray(FeatureDistances(rows, columns, metric)) for rows, columns in pairs]


@given(
    queries=st.integers(1, 30),
    gallery=st.integers(1, 90),
    identities=st.integers(1, 20),
    dim=st.integers(2, 9),
    coarse=st.booleans(),
    k=st.sampled_from([(20, 6), (5, 1), (3, 9), (1, 2), (25, 200)]),
    lambda_value=st.sampled_from([0.0, 0.3, 1.0]),
    block=st.integers(1, 5000),
    symmetric=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_torchreid(queries, gallery, identities, dim, coarse, k, lambda_value, block, symmetric, seed):
    given_matrices = matrices(*features(seed, queries, gallery, identities, dim, coarse))
    if not symmetric:
        rng = np.random.default_rng(seed)
        given_matrices = [matrix + rng.random(matrix.shape, dtype=np.float32) for matrix in given_matrices]
    before = [matrix.copy() for matrix in given_matrices]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccafl_plugin.metrics.distances.BLOCK_ELEMENTS", block)
        patch.setattr("ccafl_plugin.metrics.rerank.ROWS_AT_ONCE", 1 + block % 50)
        patch.setattr("ccafl_plugin.metrics.all_pairs.TILE", 1 + block % 50)
        result = re_ranking(*given_matrices, *k, lambda_value)
    for matrix, copy in zip(given_matrices, before, strict=True):
        np.testing.assert_array_equal(matrix, copy)
    if (np.max(np.block([[given_matrices[1]], [given_matrices[0].T]]), axis=0) > 0).all() and gallery > 1:
        expected = slow_re_ranking(*given_matrices, *k, lambda_value)
        assert result.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(result[np.isfinite(expected)], expected[np.isfinite(expected)])
    assert np.isfinite(result).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_from_features(metric, monkeypatch):
    query, gallery = features(0, 60, 400, 30, 16, coarse=False)
    query, gallery = 2 * query, 3 * gallery  # lengths matter to one of the two
    before = query.clone(), gallery.clone()
    expected = slow_re_ranking(*matrices(query, gallery, metric))
    monkeypatch.setattr("ccafl_plugin.metrics.distances.BLOCK_ELEMENTS", 5000)
    result = rerank_features(query, gallery, metric)
    assert isinstance(result, RerankedDistances)
    assert result.shape == (60, 400)
    np.testing.assert_allclose(np.asarray(result), expected, atol=2e-6)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(result))  # can be read again
    lazy = [FeatureDistances(*pair, metric) for pair in ((query, gallery), (query, query), (gallery, gallery))]
    np.testing.assert_array_equal(np.asarray(re_ranking(*lazy)), np.asarray(result))
    assert torch.equal(query, before[0])
    assert torch.equal(gallery, before[1])


def test_scores_improve_and_are_the_same_from_features_and_matrices():
    query, gallery = features(1, 40, 300, 20, 8, coarse=False)
    rng = torch.Generator().manual_seed(1)
    person = torch.randint(20, (340,), generator=rng)
    labels = (person[:40], person[40:], torch.zeros(40), torch.ones(300))
    from_matrices = evaluate_rank(re_ranking(*matrices(query, gallery)), *labels)
    from_features = evaluate_rank(rerank_features(query, gallery), *labels)
    assert from_features[1] == pytest.approx(from_matrices[1], abs=1e-6)
    np.testing.assert_allclose(from_features[0], from_matrices[0], atol=1e-6)
    assert from_matrices[1] > evaluate_rank(matrices(query, gallery)[0], *labels)[1] + 0.02


def test_images_that_all_coincide():
    """torchreid divides by 0 here."""
    ones = torch.ones(3, 4)
    np.testing.assert_array_equal(re_ranking(*matrices(ones[:1], ones[1:])), [[0, 0]])


def test_float64_is_squared_before_it_is_rounded():
    given_matrices = [matrix.astype(np.float64) / 3 for matrix in matrices(*features(2, 9, 30, 5, 4, coarse=False))]
    np.testing.assert_array_equal(re_ranking(*given_matrices), slow_re_ranking(*given_matrices))


def test_what_does_not_fit():
    with pytest.raises(CCAFLError, match=r"got \(2, 3\), \(2, 2\), \(2, 2\)"):
        re_ranking(np.zeros((2, 3)), np.zeros((2, 2)), np.zeros((2, 2)))
    good = matrices(*features(0, 2, 3, 2, 4, coarse=False))
    for k1, k2 in ((0, 6), (20, 0)):
        with pytest.raises(CCAFLError, match="k1 and k2 must be at least 1"):
            re_ranking(*good, k1=k1, k2=k2)
    with pytest.raises(CCAFLError, match="metric: 'l2' is not available"):
        rerank_features(torch.eye(2), torch.eye(2), "l2")
    for bad in (float("nan"), float("inf")):
        with pytest.raises(CCAFLError, match="not finite"):
            rerank_features(torch.eye(2), torch.full((2, 2), bad))


def test_no_full_matrix_is_made():
    """The matrix of all images would need 780 MB, and torchreid needs five of that size."""

    def rerank() -> None:
        query, gallery = features(0, 1000, 13000, 4000, 8, coarse=False)
        grown = memory_growth(lambda: [None for _ in rerank_features(query, gallery).blocks()])
        assert grown < 500, f"{grown:.0f} MB"

    in_child(rerank)
