"""Intra-camera discriminative learning (ICDL): the losses that need the labels of one camera at a time.

The parts are in ``intra``, ``triplet`` and ``text``; this module adds them up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.losses.camera_layout import CameraLayout
from ccafl_plugin.losses.intra import camera_contrast, instance_contrast
from ccafl_plugin.losses.memory import CameraRows, HybridMemory
from ccafl_plugin.losses.text import text_alignment
from ccafl_plugin.losses.triplet import batch_hard_triplet, centroid_triplet
from ccafl_plugin.losses.weighted_sum import weighted_sum
from ccafl_plugin.utils.dtypes import full_precision, widen, zero_with_graph
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.paper_values import LABEL_SMOOTHING, MARGIN, TEMPERATURE, WEIGHT_LAMBDA

REDUCTIONS = ("sum", "mean_over_cameras")


class ICDLComponents(NamedTuple):
    """The weighted sum, which training minimises, and its unweighted parts, for logs and tests."""

    total: Tensor
    centroid: Tensor  # L_centroid
    instance: Tensor  # L_instance
    centroid_triplet: Tensor  # Tri(f; centroids)
    batch_triplet: Tensor  # Tri(f; batch)
    alignment: Tensor  # L_i2tce


class ICDLLoss(nn.Module):
    """L_ICDL: a sum over cameras of means over a camera's images (docs/method.md (15), (28); paper, Sec. III-C).

    ``lambda L_centroid + (1 - lambda) L_instance + Tri(f; centroids) + Tri(f; batch) + L_i2tce``

    A part whose factor is 0 is not computed and is reported as 0.

    Args:
        weight_lambda: lambda, in [0, 1]; 0.6 for Market-1501 and DukeMTMC-reID, 0.0 for MSMT17.
        temperature: of both contrasts; 0.05 in the paper.
        margin: of both triplets; 0.3 in the paper.
        smoothing: label smoothing of the alignment; 0.1 in the released settings.
        weight_centroid: additional factor of L_centroid, times lambda; 1.
        weight_instance: additional factor of L_instance, times 1 - lambda; 1.
        weight_centroid_triplet: factor of the triplet against the centroids; 1.
        weight_batch_triplet: factor of the triplet inside the batch; 1.
        weight_alignment: factor of the alignment with the prompts' texts; 1.
        reduction: ``sum`` over the cameras present, as in the paper, or ``mean_over_cameras``: that sum divided by the
            number of cameras in the memory. These are all cameras of the training set, in the batch or not.

    Raises:
        CCAFLError: lambda outside [0, 1], a temperature that is not above 0, or an unknown reduction.
    """

    def __init__(
        self,
        weight_lambda: float = WEIGHT_LAMBDA,
        temperature: float = TEMPERATURE,
        margin: float = MARGIN,
        smoothing: float = LABEL_SMOOTHING,
        weight_centroid: float = 1.0,
        weight_instance: float = 1.0,
        weight_centroid_triplet: float = 1.0,
        weight_batch_triplet: float = 1.0,
        weight_alignment: float = 1.0,
        reduction: str = "sum",
    ) -> None:
        super().__init__()
        if not 0 <= weight_lambda <= 1:
            raise CCAFLError(f"ICDLLoss: lambda must lie in [0, 1], got {weight_lambda}.")
        if not temperature > 0:
            raise CCAFLError(f"ICDLLoss: the temperature must be above 0, got {temperature}.")
        if reduction not in REDUCTIONS:
            raise unknown_name("ICDLLoss: reduction", reduction, REDUCTIONS)
        self.temperature = temperature
        self.margin = margin
        self.smoothing = smoothing
        self.reduction = reduction
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
            memory: it is only read here; call its ``update`` after the backward pass.
            proxies: (B,) int64; best on the host, which splits the batch by camera, so that there is no device sync.
            image_features: (B, E) float, embeddings of the images (v); gets a gradient. None: no alignment.
            text: (N, E) float, text feature of every proxy. None: no alignment.

        Returns:
            Scalars in float32 or wider; for B = 0 zeros that still have a graph.
        """
        parts = {name: zero_with_graph(features) for name in self.factors}
        if proxies.numel():
            parts |= self._parts(features, memory, memory.split(proxies), image_features, text)
        total = weighted_sum(parts, self.factors, features)
        if self.reduction == "mean_over_cameras":
            total = total * (1 / memory.num_cameras)
        return ICDLComponents(total, **parts)

    @full_precision
    def _parts(
        self,
        features: Tensor,
        memory: HybridMemory,
        cameras: list[CameraRows],
        image_features: Tensor | None,
        text: Tensor | None,
    ) -> dict[str, Tensor]:
        """The parts whose factor is not 0, for the images of all cameras at once where the functions allow it."""
        features, centroids = widen(features, memory.centroids)
        features = features[torch.cat([part.rows for part in cameras])]
        units = F.normalize(features, dim=1)
        local = torch.cat([part.local for part in cameras])
        layout = CameraLayout.of(cameras, features)
        parts = {}
        if self.factors["centroid"]:
            parts["centroid"] = camera_contrast(units, centroids, local, self.temperature, layout, normalized=True)
        if self.factors["instance"]:
            instances = memory.instances
            parts["instance"] = instance_contrast(units, instances, local, self.temperature, layout, normalized=True)
        if self.factors["centroid_triplet"]:
            parts["centroid_triplet"] = centroid_triplet(features, centroids, local, self.margin, layout)
        if self.factors["batch_triplet"]:
            proxies = layout.first + local
            parts["batch_triplet"] = batch_hard_triplet(features, proxies, self.margin, cameras=layout.first)
        if self.factors["alignment"] and image_features is not None and text is not None:
            alignments = [
                text_alignment(image_features[part.rows], text[part.of_camera], part.local, self.smoothing)
                for part in cameras
            ]
            parts["alignment"] = sum(alignments[1:], alignments[0])
        return parts
