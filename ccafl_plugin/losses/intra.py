"""Contrast inside each camera: with the centroids of a hybrid memory, and with its instances."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ccafl_plugin.losses.camera_layout import CameraLayout
from ccafl_plugin.losses.cross_entropy import mean_cross_entropy
from ccafl_plugin.utils.dtypes import full_precision, no_autocast, widen, zero_with_graph
from ccafl_plugin.utils.paper_values import TEMPERATURE


@full_precision
def camera_contrast(
    features: Tensor,
    centroids: Tensor,
    local: Tensor,
    temperature: float = TEMPERATURE,
    layout: CameraLayout | None = None,
    normalized: bool = False,
) -> Tensor:
    """L_centroid: cross-entropy against the centroids of the image's camera (docs/method.md (10); paper, Sec. III-C).

    Args:
        features: (B, D) float; the only input that gets a gradient. Rows are L2-normalised again inside, so that
            the gradient has no part along the feature.
        centroids: (N_c, D) float, unit rows, of all proxies of the camera; with a layout, of all cameras.
        local: (B,) int64, camera-local label in [0, N_c); -1 leaves an image out (only without a layout).
        temperature: logits are divided by it; 0.05 in the paper.
        layout: of a batch that is sorted by camera; None: all images and centroids are of one camera.
        normalized: True where the caller has normalised the features, once for several losses.

    Returns:
        () float32 or wider, mean over the camera's images, summed over the cameras; for B = 0 a zero that still has
        a graph.
    """
    features, centroids = widen(features, centroids.detach())
    units = features if normalized else F.normalize(features, dim=1)
    if layout is None:
        return mean_cross_entropy(units @ centroids.T / temperature, local)
    similarity = layout.table(lambda unit, proxies, _: unit @ centroids[proxies].T, units, local)
    return mean_cross_entropy(similarity / temperature, local, share=layout.share)


class _HardestSimilarity(torch.autograd.Function):
    """Similarity to the hardest instance of each class: the least similar of the own class, the most similar of others.

    The gradient with respect to the features is a weighted sum of the B x N_c selected rows, which are read in place:
    the instances are never copied, and no (B, N_c, D) or (B, N_c * K) gradient is computed.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, instances: Tensor, local: Tensor) -> Tensor:
        classes, slots, dim = instances.shape
        rows = instances.reshape(classes * slots, dim)  # a view: a camera's slice of the memory is contiguous
        # One product per class: with few images per camera it is up to a fifth faster on CPUs than a single product.
        similarity = torch.bmm(instances, features.T.expand(classes, dim, -1))
        value, slot = similarity.max(dim=1)
        batch = torch.arange(local.numel(), device=local.device)
        value[local, batch], slot[local, batch] = similarity[local, :, batch].min(dim=1)
        ctx.save_for_backward(rows, slot.T + slots * torch.arange(classes, device=slot.device))
        return value.T.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        rows, selected = ctx.saved_tensors
        with no_autocast(grad.device.type):
            return F.embedding_bag(selected, rows, mode="sum", per_sample_weights=grad.contiguous()), None, None


@full_precision
def _hardest_similarities(features: Tensor, instances: Tensor, local: Tensor) -> Tensor:
    """Similarity of each image to the hardest instance of each proxy of its camera.

    Args:
        features: (B, D) float, unit rows, at least one; the only input that gets a gradient.
        instances: (N_c, K, D) float, unit rows.
        local: (B,) int64, camera-local label in [0, N_c).

    Returns:
        (B, N_c) float32 or wider: similarity to the least similar instance of the own proxy, and to the most similar
        instance of every other proxy.
    """
    features, instances = widen(features, instances.detach())
    similarity: Tensor = _HardestSimilarity.apply(features, instances, local)
    return similarity


@full_precision
def instance_contrast(
    features: Tensor,
    instances: Tensor,
    local: Tensor,
    temperature: float = TEMPERATURE,
    layout: CameraLayout | None = None,
    normalized: bool = False,
) -> Tensor:
    """L_instance: cross-entropy over the camera's hardest instances (docs/method.md (11); paper, Sec. III-C).

    The logit of the own proxy is the similarity to its least similar instance (hardest positive). The logit of any
    other proxy is the similarity to its most similar instance (hardest negative). On ties the first slot is taken.

    Args:
        features: (B, D) float; the only input that gets a gradient. Rows are L2-normalised again inside.
        instances: (N_c, K, D) float, unit rows: K stored features of every proxy of the camera; with a layout, of all
            cameras.
        local: (B,) int64, camera-local label in [0, N_c).
        temperature: logits are divided by it; 0.05 in the paper.
        layout: of a batch that is sorted by camera; None: all images and instances are of one camera.
        normalized: True where the caller has normalised the features, once for several losses.

    Returns:
        () float32 or wider, mean over the camera's images, summed over the cameras; for B = 0 a zero that still has
        a graph.
    """
    if local.numel() == 0:
        return zero_with_graph(features)
    (features,) = widen(features)
    units = features if normalized else F.normalize(features, dim=1)
    layout = layout or CameraLayout.of_one_camera(local, len(instances), units)
    hardest = layout.table(
        lambda unit, proxies, labels: _hardest_similarities(unit, instances[proxies], labels), units, local
    )
    return mean_cross_entropy(hardest / temperature, local, share=layout.share)
