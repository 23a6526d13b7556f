"""Distances by blocks against torchreid's matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchreid

from ccafl_plugin.metrics import FeatureDistances
from ccafl_plugin.metrics import distances as module
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import in_child, memory_growth


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", 25)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchreids_matrix(metric, dtype, small_blocks):
    rng = torch.Generator().manual_seed(0)
    query, gallery = (torch.randn(n, 16, generator=rng, dtype=dtype) for n in (7, 11))
    before = query.clone(), gallery.clone()
    lazy = FeatureDistances(query, gallery, metric)
    assert [first for first, _ in lazy.blocks()] == [0, 2, 4, 6]
    assert lazy.shape == (7, 11)
    matrix = np.asarray(lazy)
    expected = torchreid.metrics.compute_distance_matrix(query, gallery, metric).numpy()
    assert matrix.dtype == expected.dtype
    np.testing.assert_allclose(matrix, expected, atol=1e-5 if dtype == torch.float32 else 1e-12)
    assert torch.equal(query, before[0])
    assert torch.equal(gallery, before[1])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_half_precision_is_computed_in_float32(metric):
    features = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).half()
    matrix = np.asarray(FeatureDistances(features, features, metric))
    np.testing.assert_array_equal(matrix, np.asarray(FeatureDistances(features.float(), features.float(), metric)))
    assert matrix.dtype == np.float32


def test_like_an_array():
    lazy = FeatureDistances(torch.eye(3), torch.eye(3)[:2])
    assert lazy.numpy() is lazy
    np.testing.assert_array_equal(np.argsort(lazy, axis=1, kind="stable"), [[0, 1], [1, 0], [0, 1]])
    assert np.asarray(lazy, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="always a copy"):
        lazy.__array__(copy=False)
    assert np.asarray(FeatureDistances(torch.zeros(0, 3), torch.zeros(4, 3))).shape == (0, 4)
    assert np.asarray(FeatureDistances(torch.zeros(4, 3), torch.zeros(0, 3))).shape == (4, 0)


def test_what_does_not_fit():
    with pytest.raises(CCAFLError, match=r"got \(2, 3\) and \(2, 4\)"):
        FeatureDistances(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(CCAFLError, match="got"):
        FeatureDistances(torch.zeros(2), torch.zeros(2, 4))
    with pytest.raises(CCAFLError, match=r"metric: 'cosin' is not available\. Did you mean 'cosine'"):
        FeatureDistances(torch.zeros(2, 3), torch.zeros(2, 3), "cosin")


def test_no_full_matrix_is_made():
    """A matrix of 4000 x 60000 would need 960 MB and its ranking twice as much; blocks of 64 MB exist at a time.

    The bound is half of the matrix: how much of the blocks' freed memory an allocator keeps differs between machines.
    """

    def evaluate() -> None:
        from ccafl_plugin.metrics import evaluate_features

        rng = torch.Generator().manual_seed(0)
        query, images = torch.randn(4000, 2, generator=rng), torch.randn(60000, 2, generator=rng)
        cameras = torch.zeros(60000, dtype=torch.int64)
        labels = torch.arange(4000), torch.arange(60000) // 15, cameras[:4000], cameras + 1
        grown = memory_growth(lambda: evaluate_features(query, images, *labels))
        assert grown < 480, f"{grown:.0f} MB"

    in_child(evaluate)
