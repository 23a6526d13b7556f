"""Batch-hard triplet losses with Euclidean distances: inside a batch, and against a camera's centroids."""

from __future__ import annotations

import torch
from torch import Tensor

from ccafl_plugin.losses.camera_layout import CameraLayout
from ccafl_plugin.utils.dtypes import full_precision, widen
from ccafl_plugin.utils.paper_values import MARGIN

SMALLEST_DISTANCE = 1e-6  # distances are clamped to this, because the gradient at 0 is not defined


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, D), (m, D) -> (n, m)."""
    norms_a: Tensor = torch.linalg.vector_norm(a, dim=1)
    norms_b: Tensor = torch.linalg.vector_norm(b, dim=1)
    return norms_a.square()[:, None] + norms_b.square() - 2 * (a @ b.T)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, (n, D), (n, D) -> (n,). Computed from differences, which stay precise where two rows are close."""
    distances: Tensor = torch.linalg.vector_norm(a - b, dim=1)
    return distances.clamp(min=SMALLEST_DISTANCE)


def _hinges(anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """max(0, d_pos - d_neg + margin) of every anchor.

    Args:
        anchors, positives, negatives: (B, D) float, row by row.
        margin: number added to the difference of the distances.

    Returns:
        (B,) float.
    """
    return (_distances(anchors, positives) - _distances(anchors, negatives) + margin).relu()


@full_precision
def batch_hard_triplet(
    features: Tensor, labels: Tensor, margin: float = MARGIN, cameras: Tensor | None = None
) -> Tensor:
    """Tri(f; batch) and L_tri: batch-hard triplet loss, mean over all anchors (docs/method.md (13), (18)).

    Each anchor contributes ``max(0, d_pos - d_neg + margin)``. The hardest positive is the farthest image with the
    anchor's label, which may be the anchor itself. The hardest negative is the nearest image with another label. An
    anchor without a negative contributes 0 and still counts in the mean.

    Args:
        features: (B, D) float, not normalised here; gradients flow through both images of a pair.
        labels: (B,) int64; images labelled -1 are neither anchors nor partners.
        margin: 0.3 in the paper.
        cameras: (B,) int64; images are compared only inside their camera, and the means of the cameras are added.
            None compares over the whole batch.

    Returns:
        () float32 or wider; without any anchor, a zero that still has a graph.
    """
    (features,) = widen(features)
    if labels.numel() == 0:
        return features.sum()
    kept = labels >= 0
    rivals = (labels[:, None] != labels) & kept
    anchors = kept.sum()
    with torch.no_grad():  # finds the hardest pairs; the distances with a gradient are computed below for these only
        squared = _squared_distances(features, features)
        partners = labels[:, None] == labels
        if cameras is not None:
            together = cameras[:, None] == cameras
            rivals, partners = rivals & together, partners & together
            anchors = (kept & together).sum(1)
        positive = squared.masked_fill(~partners, -torch.inf).argmax(1)
        negative = squared.masked_fill(~rivals, torch.inf).argmin(1)
    loss = _hinges(features, features[positive], features[negative], margin)
    counted = kept & rivals.any(1)
    return (torch.where(counted, loss, 0.0) / anchors.clamp(min=1)).sum()


@full_precision
def centroid_triplet(
    features: Tensor, centroids: Tensor, local: Tensor, margin: float = MARGIN, layout: CameraLayout | None = None
) -> Tensor:
    """Tri(f; centroids): the own centroid against the nearest other centroid of the camera (docs/method.md (12)).

    Args:
        features: (B, D) float, not normalised here; the only input that gets a gradient.
        centroids: (N_c, D) float, unit rows, of all proxies of the camera; with a layout, of all cameras.
        local: (B,) int64, camera-local label in [0, N_c).
        margin: 0.3 in the paper.
        layout: of a batch that is sorted by camera; None: all images and centroids are of one camera.

    Returns:
        () float32 or wider, mean over the camera's images, summed over the cameras. For B = 0, or if every camera has
        one proxy only, a zero that still has a graph.
    """
    features, centroids = widen(features, centroids.detach())
    if local.numel() == 0:
        return features.sum()
    layout = layout or CameraLayout.of_one_camera(local, len(centroids), features)
    with torch.no_grad():  # the nearest unit centroid is the one with the largest product
        products = layout.table(lambda rows, proxies, _: rows @ centroids[proxies].T, features, local)
        nearest = products.scatter_(1, local[:, None], -torch.inf).argmax(1)
    losses = _hinges(features, centroids[layout.first + local], centroids[layout.first + nearest], margin)
    has_rivals = layout.for_each_image([proxies.stop - proxies.start > 1 for proxies in layout.proxies])
    return (losses * layout.share * has_rivals).sum()
