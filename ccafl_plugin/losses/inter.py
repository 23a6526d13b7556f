"""Inter-camera learning on pseudo identities: contrast with their centres, and triplets in the batch.

Pseudo identities come from ``ccafl_plugin.association``; this module takes them as labels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.losses.cross_entropy import mean_cross_entropy
from ccafl_plugin.losses.memory import ClusterMemory
from ccafl_plugin.losses.triplet import batch_hard_triplet
from ccafl_plugin.losses.weighted_sum import weighted_sum
from ccafl_plugin.utils.dtypes import full_precision, widen
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.paper_values import MARGIN, TEMPERATURE


@full_precision
def cluster_contrast(features: Tensor, centroids: Tensor, labels: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """L_inter: cross-entropy against the centres of all pseudo identities (docs/method.md (17); paper, Sec. III-D).

    Args:
        features: (B, D) float; the only input that gets a gradient. Rows are L2-normalised again inside, so that
            the gradient has no part along the feature.
        centroids: (K, D) float, unit rows, one per pseudo identity.
        labels: (B,) int64, pseudo identity in [0, K); -1 leaves an image out.
        temperature: logits are divided by it; 0.05 in the paper.

    Returns:
        () float32 or wider, mean over the images with a pseudo identity; without any, a zero that still has a graph.
    """
    features, centroids = widen(features, centroids.detach())
    return mean_cross_entropy(F.normalize(features, dim=1) @ centroids.T / temperature, labels)


class InterComponents(NamedTuple):
    """The weighted sum, which training minimises, and its unweighted parts, for logs and tests."""

    total: Tensor
    contrast: Tensor  # L_inter
    triplet: Tensor  # L_tri


class InterCameraLoss(nn.Module):
    """L_inter + L_tri (docs/method.md (17), (18); paper, Sec. III-D). Images without a pseudo identity are left out.

    Args:
        temperature: of the contrast; 0.05 in the paper.
        margin: of the triplet; 0.3 in the paper.
        weight_contrast: factor of the contrast; 1.
        weight_triplet: factor of the triplet; 1.

    Raises:
        CCAFLError: a temperature that is not above 0.
    """

    def __init__(
        self,
        temperature: float = TEMPERATURE,
        margin: float = MARGIN,
        weight_contrast: float = 1.0,
        weight_triplet: float = 1.0,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise CCAFLError(f"InterCameraLoss: the temperature must be above 0, got {temperature}.")
        self.temperature = temperature
        self.margin = margin
        self.factors = {"contrast": weight_contrast, "triplet": weight_triplet}

    def forward(self, features: Tensor, memory: ClusterMemory, labels: Tensor) -> InterComponents:
        """The loss of a batch.

        Args:
            features: (B, D) float, unit rows; gets a gradient.
            memory: it is only read here; call its ``update`` after the backward pass.
            labels: (B,) int64, pseudo identities on the features' device; -1 for none.

        Returns:
            Scalars in float32 or wider; if the batch has no pseudo identity, zeros that still have a graph.
        """
        parts = {
            "contrast": cluster_contrast(features, memory.centroids, labels, self.temperature),
            "triplet": batch_hard_triplet(features, labels, self.margin),
        }
        return InterComponents(weighted_sum(parts, self.factors, features), **parts)
