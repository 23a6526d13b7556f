"""Intra-camera discriminative learning: everything that one camera's labels can teach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from ccafl_plugin.errors import CCAFLError
from ccafl_plugin.losses.alignment import text_alignment
from ccafl_plugin.losses.contrast import camera_contrast, instance_contrast
from ccafl_plugin.losses.memory import HybridMemory
from ccafl_plugin.losses.precision import zero_with_graph
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
        weight_centroid: further factor of L_centroid, beside lambda; 1.
        weight_instance: further factor of L_instance, beside 1 - lambda; 1.
        weight_centroid_triplet: factor of the triplet against the centroids; 1.
        weight_batch_triplet: factor of the triplet inside the batch; 1.
        weight_alignment: factor of the alignment with the prompts' texts; 1.

    Raises:
        CCAFLError: lambda outside [0, 1], or a temperature that is not above 0.
    """

    def __init__(
        self,
        weight_lambda: float = 0.6,
        temperature: float = 0.05,
        margin: float = 0.3,
        smoothing: float = 0.1,
        weight_centroid: float = 1.0,
        weight_instance: float = 1.0,
        weight_centroid_triplet: float = 1.0,
        weight_batch_triplet: float = 1.0,
        weight_alignment: float = 1.0,
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
            "centroid": weight_lambda * weight_centroid,
            "instance": (1 - weight_lambda) * weight_instance,
            "centroid_triplet": weight_centroid_triplet,
            "batch_triplet": weight_batch_triplet,
            "alignment": weight_alignment,
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
        for camera, rows, local in memory.split(proxies):
            of_camera = memory.camera_slice(camera)
            images = None if image_features is None else image_features[rows]
            texts = None if text is None else text[of_camera]
            for name, loss in self._camera_parts(features[rows], memory, of_camera, local, images, texts):
                parts[name] = parts[name] + loss
        total = zero_with_graph(features)
        for name, part in parts.items():
            total = total + self.factors[name] * part
        return ICDLComponents(total, **parts)

    def _camera_parts(
        self,
        features: Tensor,
        memory: HybridMemory,
        of_camera: slice,
        local: Tensor,
        images: Tensor | None,
        texts: Tensor | None,
    ) -> Iterator[tuple[str, Tensor]]:
        centroids = memory.centroids[of_camera]
        if self.factors["centroid"]:
            yield "centroid", camera_contrast(features, centroids, local, self.temperature)
        if self.factors["instance"]:
            yield "instance", instance_contrast(features, memory.instances[of_camera], local, self.temperature)
        if self.factors["centroid_triplet"]:
            yield "centroid_triplet", centroid_triplet(features, centroids, local, self.margin)
        if self.factors["batch_triplet"]:
            yield "batch_triplet", batch_hard_triplet(features, local, self.margin)
        if self.factors["alignment"] and images is not None and texts is not None:
            yield "alignment", text_alignment(images, texts, local, self.smoothing)
