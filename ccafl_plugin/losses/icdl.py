"""Intra-camera discriminative learning: everything that one camera's labels can teach."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ccafl_plugin.errors import CCAFLError
from ccafl_plugin.losses.alignment import text_alignment
from ccafl_plugin.losses.contrast import camera_contrast, instance_contrast
from ccafl_plugin.losses.memory import HybridMemory
from ccafl_plugin.losses.precision import widen, zero_with_graph
from ccafl_plugin.losses.triplet import batch_hard_triplet, centroid_triplet


class ICDLComponents(NamedTuple):
    """Each part summed over the cameras present, without its weight; ``total`` with the weights."""

    total: Tensor
    centroid: Tensor  # L_centroid
    instance: Tensor  # L_instance
    centroid_triplet: Tensor  # Tri(f; centroids)
    batch_triplet: Tensor  # Tri(f; batch)
    alignment: Tensor  # L_i2tce


class ICDLLoss(nn.Module):
    """The paper's L_ICDL, summed over the cameras of a batch; every part is a mean over a camera's images.

    ``lambda L_centroid + (1 - lambda) L_instance + Tri(f; centroids) + Tri(f; batch) + L_i2tce``

    A part whose factor is 0 is not computed and reads 0.

    Args:
        weight_lambda: lambda, in [0, 1]; 0.6 for Market-1501 and DukeMTMC-reID, 0.0 for MSMT17.
        temperature: of both contrasts; 0.05 in the paper.
        margin: of both triplets; 0.3 in the paper.
        smoothing: label smoothing of the alignment; 0.1 in the released settings.
        centroid_weight: further factor of L_centroid, beside lambda; 1.
        instance_weight: further factor of L_instance, beside 1 - lambda; 1.
        centroid_triplet_weight: factor of the triplet against the centroids; 1.
        batch_triplet_weight: factor of the triplet inside the batch; 1.
        alignment_weight: factor of the alignment with the prompts' texts; 1.

    Raises:
        CCAFLError: lambda outside [0, 1], or a temperature that is not above 0.
    """

    def __init__(
        self,
        weight_lambda: float = 0.6,
        temperature: float = 0.05,
        margin: float = 0.3,
        smoothing: float = 0.1,
        centroid_weight: float = 1.0,
        instance_weight: float = 1.0,
        centroid_triplet_weight: float = 1.0,
        batch_triplet_weight: float = 1.0,
        alignment_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= weight_lambda <= 1:
            raise CCAFLError(f"ICDLLoss: lambda must lie in [0, 1], got {weight_lambda}.")
        if not temperature > 0:
            raise CCAFLError(f"ICDLLoss: the temperature must be above 0, got {temperature}.")
        self.temperature = temperature
        self.margin = margin
        self.smoothing = smoothing
        self.factors = {
            "centroid": weight_lambda * centroid_weight,
            "instance": (1 - weight_lambda) * instance_weight,
            "centroid_triplet": centroid_triplet_weight,
            "batch_triplet": batch_triplet_weight,
            "alignment": alignment_weight,
        }

    def forward(
        self,
        features: Tensor,
        memory: HybridMemory,
        proxies: Tensor,
        image_features: Tensor | None = None,
        text: Tensor | None = None,
    ) -> ICDLComponents:
        """The loss of a batch from any number of cameras.

        Args:
            features: (B, D) float, unit rows; gets a gradient.
            memory: read only; call its ``update`` after the backward pass.
            proxies: (B,) int64; best on the host, since the batch is split by camera there (no device sync then).
            image_features: (B, E) float, embeddings of the images (v); gets a gradient. None: no alignment.
            text: (N, E) float, text feature of every proxy. None: no alignment.

        Returns:
            Scalars in float32 or wider; for B = 0 zeros that still have a graph.
        """
        parts = {name: zero_with_graph(features) for name in self.factors}
        features, centroids, instances = widen(features, memory.centroids, memory.instances)
        for camera, rows, local in memory.split(proxies):
            proxies_here = memory.camera_slice(camera)
            here = features[rows]
            if self.factors["centroid"]:
                parts["centroid"] = parts["centroid"] + camera_contrast(
                    here, centroids[proxies_here], local, self.temperature
                )
            if self.factors["instance"]:
                parts["instance"] = parts["instance"] + instance_contrast(
                    here, instances[proxies_here], local, self.temperature
                )
            if self.factors["centroid_triplet"]:
                parts["centroid_triplet"] = parts["centroid_triplet"] + centroid_triplet(
                    here, centroids[proxies_here], local, self.margin
                )
            if self.factors["batch_triplet"]:
                parts["batch_triplet"] = parts["batch_triplet"] + batch_hard_triplet(here, local, self.margin)
            if self.factors["alignment"] and image_features is not None and text is not None:
                parts["alignment"] = parts["alignment"] + text_alignment(
                    image_features[rows], text[proxies_here], local, self.smoothing
                )
        total = zero_with_graph(features)
        for name, part in parts.items():
            total = total + self.factors[name] * part
        return ICDLComponents(total, **parts)
