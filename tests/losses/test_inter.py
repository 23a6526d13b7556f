"""Inter-camera learning on pseudo identities."""

from __future__ import annotations

import pytest
import torch

from ccafl_plugin.losses import ClusterMemory, InterCameraLoss, batch_hard_triplet, cluster_contrast
from ccafl_plugin.utils.errors import CCAFLError
from tests.losses.problems import assert_finite_in_half, assert_zero_with_graph, labels, unit_rows


def memory(clusters: int = 3, dim: int = 8) -> ClusterMemory:
    filled = ClusterMemory(clusters, dim).double()
    filled.centroids.copy_(unit_rows(clusters, dim, seed=1))
    return filled


def test_parts_and_weights() -> None:
    features, names = unit_rows(7, 8), labels(7, 3, lowest=-1)
    assert (names < 0).any()
    kept = names >= 0
    contrast = cluster_contrast(features[kept], memory().centroids, names[kept], 0.1)
    triplet = batch_hard_triplet(features[kept], names[kept], 0.5)
    parts = InterCameraLoss(0.1, 0.5, weight_contrast=2.0, weight_triplet=3.0)(features, memory(), names)
    torch.testing.assert_close(parts.contrast, contrast)
    torch.testing.assert_close(parts.triplet, triplet)
    torch.testing.assert_close(parts.total, 2 * contrast + 3 * triplet)


def test_images_without_a_pseudo_identity_get_no_gradient() -> None:
    features, names = unit_rows(5, 8).requires_grad_(), torch.tensor([0, -1, 1, 0, -1])
    InterCameraLoss()(features, memory(), names).total.backward()
    assert torch.equal(features.grad.abs().sum(1) > 0, names >= 0)


def test_no_pseudo_identity_in_the_batch() -> None:
    nobody, features, clusters = torch.full((5,), -1), unit_rows(5, 8), memory()
    for k in range(3):
        assert_zero_with_graph(lambda f, k=k: InterCameraLoss()(f, clusters, nobody)[k], features)
        assert_zero_with_graph(lambda f, k=k: InterCameraLoss()(f, clusters, nobody[:0])[k], features[:0])
    before = clusters.centroids.clone()
    clusters.update(features, nobody)
    assert torch.equal(clusters.centroids, before)


def test_half_precision() -> None:
    def total(f: torch.Tensor) -> torch.Tensor:
        same = memory().to(torch.float64 if f.dtype == torch.float64 else torch.float32)
        return InterCameraLoss(temperature=0.5)(f, same, labels(8, 3)).total

    assert_finite_in_half(total, unit_rows(8, 8))


def test_impossible_temperature() -> None:
    with pytest.raises(CCAFLError, match="temperature must be above 0"):
        InterCameraLoss(temperature=-1.0)
