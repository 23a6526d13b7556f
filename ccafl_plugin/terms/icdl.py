"""Intra-camera discriminative learning, ICDL (docs/method.md, section 6; paper, Sec. III-C)."""

from __future__ import annotations

import torch
from torch import Tensor

from ccafl_plugin.losses import HybridMemory, ICDLLoss
from ccafl_plugin.terms.term import Batch, EpochState, Setup, Term, register_term
from ccafl_plugin.utils.paper_values import INSTANCES, LABEL_SMOOTHING, MARGIN, MOMENTUM, TEMPERATURE, WEIGHT_LAMBDA


@register_term
class ICDLTerm(Term):
    """Centroid contrast, instance contrast, two triplets and image-text alignment, each inside one camera.

    Args:
        weight, first_epoch, last_epoch: see :class:`Term`; epochs 0 to 4 in the paper.
        weight_lambda: share of L_centroid against L_instance; 0.6 for Market-1501 and DukeMTMC-reID, 0 for MSMT17.
        temperature: of both contrasts; 0.05 in the paper.
        margin: of both triplets; 0.3 in the paper.
        smoothing: label smoothing of the alignment; 0.1 in the paper.
        instances: memory slots per proxy; 32 in the paper.
        momentum: of the centroids' update; 0.1 in the paper.
        weight_centroid, weight_instance: additional factors of L_centroid and L_instance, times those of lambda.
        weight_centroid_triplet, weight_batch_triplet: factors of the two triplets.
        weight_alignment: factor of L_i2tce; with 0 the term needs no text encoder.
        reduction: ``sum`` over the cameras in the paper; ``mean_over_cameras`` divides the sum by the number of
            cameras in the training set.
    """

    name = "icdl"
    needs_features = True

    def __init__(
        self,
        weight: float = 1.0,
        first_epoch: int = 0,
        last_epoch: int = 4,
        weight_lambda: float = WEIGHT_LAMBDA,
        temperature: float = TEMPERATURE,
        margin: float = MARGIN,
        smoothing: float = LABEL_SMOOTHING,
        instances: int = INSTANCES,
        momentum: float = MOMENTUM,
        weight_centroid: float = 1.0,
        weight_instance: float = 1.0,
        weight_centroid_triplet: float = 1.0,
        weight_batch_triplet: float = 1.0,
        weight_alignment: float = 1.0,
        reduction: str = "sum",
    ) -> None:
        super().__init__(weight, first_epoch, last_epoch)
        self.instances = instances
        self.momentum = momentum
        self.memory: HybridMemory | None = None
        self.text: Tensor | None = None
        self.criterion = ICDLLoss(
            weight_lambda,
            temperature,
            margin,
            smoothing,
            weight_centroid=weight_centroid,
            weight_instance=weight_instance,
            weight_centroid_triplet=weight_centroid_triplet,
            weight_batch_triplet=weight_batch_triplet,
            weight_alignment=weight_alignment,
            reduction=reduction,
        )

    @property
    def needs_text(self) -> bool:
        return self.criterion.factors["alignment"] != 0

    def bind(self, setup: Setup) -> None:
        self.proxies_per_camera: Tensor = setup.labels.proxies_per_camera
        self.feature_dim = setup.feature_dim
        self.device: torch.device = setup.device

    def refresh(self, state: EpochState) -> None:
        if self.memory is None:  # it takes a gigabyte, which only the epochs of this term should need
            made = HybridMemory(self.proxies_per_camera, self.feature_dim, self.instances, self.momentum)
            self.memory = made.to(self.device)
        self.memory.fill(state.features, state.proxies, generator=state.generator("instances"))
        self.text = state.text if self.needs_text else None

    def release(self) -> None:
        self.memory = self.text = None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        assert self.memory is not None  # refreshed at the start of the epoch
        proxies = batch.proxies_on_host()  # the host splits the batch by camera
        parts = self.criterion(batch.features, self.memory, proxies, batch.embeddings, self.text)
        counted = {name: getattr(parts, name).detach() for name, factor in self.criterion.factors.items() if factor}
        return {**counted, "total": parts.total}

    def update(self, batch: Batch) -> None:
        assert self.memory is not None
        self.memory.update(batch.features.detach(), batch.proxies_on_host())
