"""Intra-camera discriminative learning: everything that one camera's labels can teach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.losses.alignment import text_alignment
from ccafl_plugin.losses.contrast import hardest_similarities
from ccafl_plugin.losses.memory import CameraRows, HybridMemory
from ccafl_plugin.losses.triplet import batch_hard_triplet, hinges
from ccafl_plugin.utils.dtypes import full_precision, widen, zero_with_graph
from ccafl_plugin.utils.errors import CCAFLError


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
        if proxies.numel():
            parts |= self._parts(features, memory, memory.split(proxies), image_features, text)
        total = zero_with_graph(features)
        for name, part in parts.items():
            total = total + self.factors[name] * part
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
        """The parts that count.

        Only the products with a camera's proxies are made camera by camera. All else is small and is done for the
        whole batch at once: starting each camera's own operations took a fifth of a step.
        """
        features, centroids = widen(features, memory.centroids)
        features = features[torch.cat([part.rows for part in cameras])]
        local = torch.cat([part.local for part in cameras])
        first = torch.cat([torch.full_like(part.local, part.of_camera.start) for part in cameras])
        units = F.normalize(features, dim=1).split([len(part.rows) for part in cameras])
        # Losses become means of a camera's images.
        share = _for_each_image([1 / len(part.rows) for part in cameras], cameras, features)

        def cross_entropy(similarity: Tensor) -> Tensor:
            return (F.cross_entropy(similarity / self.temperature, local, reduction="none") * share).sum()

        parts = {}
        if self.factors["centroid"] or self.factors["centroid_triplet"]:
            similarity = _table([unit @ centroids[part.of_camera].T for unit, part in zip(units, cameras, strict=True)])
        if self.factors["centroid"]:
            parts["centroid"] = cross_entropy(similarity)
        if self.factors["instance"]:
            hardest = [
                hardest_similarities(unit, memory.instances[part.of_camera], part.local)
                for unit, part in zip(units, cameras, strict=True)
            ]
            parts["instance"] = cross_entropy(_table(hardest))
        if self.factors["centroid_triplet"]:
            nearest = similarity.detach().scatter(1, local[:, None], -torch.inf).argmax(1)
            losses = hinges(features, centroids[first + local], centroids[first + nearest], self.margin)
            has_rivals = [part.of_camera.stop - part.of_camera.start > 1 for part in cameras]
            parts["centroid_triplet"] = (losses * share * _for_each_image(has_rivals, cameras, features)).sum()
        if self.factors["batch_triplet"]:
            parts["batch_triplet"] = batch_hard_triplet(features, first + local, self.margin, cameras=first)
        if self.factors["alignment"] and image_features is not None and text is not None:
            parts["alignment"] = sum(
                text_alignment(image_features[part.rows], text[part.of_camera], part.local, self.smoothing)
                for part in cameras
            )
        return parts


def _table(similarities: list[Tensor]) -> Tensor:
    """(n_c, N_c) of each camera -> (B, largest N_c); where a camera has no such proxy stands -inf: probability 0."""
    width = max(similarity.shape[1] for similarity in similarities)
    padded = [F.pad(similarity, (0, width - similarity.shape[1]), value=-torch.inf) for similarity in similarities]
    return torch.cat(padded)


def _for_each_image(of_cameras: Sequence[float], cameras: list[CameraRows], like: Tensor) -> Tensor:
    """(B,) each camera's number for all of its images; made on the host, so nothing waits for the device."""
    values = [value for value, part in zip(of_cameras, cameras, strict=True) for _ in range(len(part.rows))]
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)
