"""Inter-camera adversarial learning, ICAL (docs/method.md, section 8; paper, Sec. III-E)."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ccafl_plugin.losses import ICALLoss
from ccafl_plugin.terms.proxy_classifier import ProxyClassifierTerm
from ccafl_plugin.terms.term import Batch, EpochState, Setup, Term, register_term
from ccafl_plugin.utils.paper_values import ARCFACE_MARGIN, HARDNESS, ICAL_SMOOTHING, SCALE


@register_term
class ICALTerm(Term):
    """Penalises features that the proxy classifier can assign to the proxy of one camera.

    Args:
        weight, first_epoch, last_epoch: see :class:`Term`; in the paper from epoch 40 to the end, where an earlier
            start gives worse results (fig. 8).
        scale: factor from cosines to logits; 16 in the paper.
        margin: ArcFace margin m_a; 0.7 Market-1501, 0.3 DukeMTMC-reID, 0.5 MSMT17.
        hardness: how much harder negatives the own camera's other proxies become; 0.2 (the paper's t).
        smoothing: epsilon, the share of the target that is spread over all positives; 0.8.
    """

    name = "ical"
    needs = ("proxy_classifier",)
    needs_association = True

    def __init__(
        self,
        weight: float = 1.0,
        first_epoch: int = 40,
        last_epoch: int = -1,
        scale: float = SCALE,
        margin: float = ARCFACE_MARGIN,
        hardness: float = HARDNESS,
        smoothing: float = ICAL_SMOOTHING,
    ) -> None:
        super().__init__(weight, first_epoch, last_epoch)
        self.criterion = ICALLoss(scale=scale, margin=margin, hardness=hardness, smoothing=smoothing)

    def bind(self, setup: Setup) -> None:
        self.classifier = cast(ProxyClassifierTerm, setup.terms["proxy_classifier"]).classifier
        self.camera_of_proxy = setup.labels.camera_of_proxy.to(setup.device)

    def refresh(self, state: EpochState) -> None:
        self.pseudo_of_proxy = state.pseudo_of_proxy

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        adversarial = self.criterion(
            batch.features, self.classifier.weight, batch.proxies, self.camera_of_proxy, self.pseudo_of_proxy
        )
        return {"adversarial": adversarial}
