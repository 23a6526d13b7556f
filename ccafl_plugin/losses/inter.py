"""Inter-camera learning on pseudo identities: contrast with their centres, and triplets in the batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ccafl_plugin.losses.contrast import cluster_contrast
from ccafl_plugin.losses.memory import ClusterMemory
from ccafl_plugin.losses.triplet import batch_hard_triplet
from ccafl_plugin.utils.errors import CCAFLError


class InterComponents(NamedTuple):
    """The parts without their weights; ``total`` with them."""

    total: Tensor
    contrast: Tensor  # L_inter
    triplet: Tensor  # L_tri


class InterCameraLoss(nn.Module):
    """The paper's L_inter + L_tri. Images without a pseudo identity take no part.

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
        temperature: float = 0.05,
        margin: float = 0.3,
        weight_contrast: float = 1.0,
        weight_triplet: float = 1.0,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise CCAFLError(f"InterCameraLoss: the temperature must be above 0, got {temperature}.")
        self.temperature = temperature
        self.margin = margin
        self.weight_contrast = weight_contrast
        self.weight_triplet = weight_triplet

    def forward(self, features: Tensor, memory: ClusterMemory, labels: Tensor) -> InterComponents:
        """The loss of a batch.

        Args:
            features: (B, D) float, unit rows; gets a gradient.
            memory: read only; call its ``update`` after the backward pass.
            labels: (B,) int64, pseudo identities on the features' device; -1 for none.

        Returns:
            Scalars in float32 or wider; without any pseudo identity in the batch zeros that still have a graph.
        """
        contrast = cluster_contrast(features, memory.centroids, labels, self.temperature)
        triplet = batch_hard_triplet(features, labels, self.margin)
        return InterComponents(
            self.weight_contrast * contrast + self.weight_triplet * triplet, contrast=contrast, triplet=triplet
        )
