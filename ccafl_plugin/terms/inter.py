"""Inter-camera learning on pseudo identities: contrast and triplet (docs/method.md, section 7; paper, Sec. III-D)."""

from __future__ import annotations

from torch import Tensor

from ccafl_plugin.losses import ClusterMemory, InterCameraLoss
from ccafl_plugin.terms.term import Batch, EpochState, Term, register_term
from ccafl_plugin.utils.paper_values import MARGIN, MOMENTUM, TEMPERATURE


@register_term
class InterTerm(Term):
    """L_inter + L_tri over the images of the batch whose proxy has a pseudo identity.

    Args:
        weight, first_epoch, last_epoch: see :class:`Term`; from epoch 5 in the paper.
        temperature: of the contrast; 0.05 in the paper.
        momentum: of the cluster memory; 0.1 in the paper.
        margin: of the triplet; 0.3 in the paper.
        weight_contrast, weight_triplet: factors of the two parts.
    """

    name = "inter"
    needs_features = True
    needs_association = True

    def __init__(
        self,
        weight: float = 1.0,
        first_epoch: int = 5,
        last_epoch: int = -1,
        temperature: float = TEMPERATURE,
        momentum: float = MOMENTUM,
        margin: float = MARGIN,
        weight_contrast: float = 1.0,
        weight_triplet: float = 1.0,
    ) -> None:
        super().__init__(weight, first_epoch, last_epoch)
        self.momentum = momentum
        self.criterion = InterCameraLoss(temperature, margin, weight_contrast, weight_triplet)
        self.memory: ClusterMemory | None = None

    def refresh(self, state: EpochState) -> None:
        self.pseudo_of_proxy = state.pseudo_of_proxy
        self._host_pseudo_of_proxy = state.pseudo_of_proxy.cpu()  # the memory's update takes labels on the host
        images = state.pseudo_of_proxy[state.proxies]
        self.memory = ClusterMemory.of(state.features, images, self.momentum)

    def release(self) -> None:
        self.memory = None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        assert self.memory is not None  # refreshed at the start of the epoch
        parts = self.criterion(batch.features, self.memory, self.pseudo_of_proxy[batch.proxies])
        counted = {name: getattr(parts, name).detach() for name, factor in self.criterion.factors.items() if factor}
        return {**counted, "total": parts.total}

    def update(self, batch: Batch) -> None:
        assert self.memory is not None
        self.memory.update(batch.features.detach(), self._host_pseudo_of_proxy[batch.proxies_on_host()])
