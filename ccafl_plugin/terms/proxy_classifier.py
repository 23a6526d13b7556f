"""L_GID: the classifier that learns to distinguish proxies (docs/method.md, section 5; paper, Sec. III-D)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ccafl_plugin.losses import ProxyClassifier
from ccafl_plugin.optim import FollowingRate
from ccafl_plugin.terms.term import Batch, Setup, Term, register_term
from ccafl_plugin.utils.paper_values import PROMPT_AND_CLASSIFIER_LR, SCALE
from ccafl_plugin.utils.seeds import generator


@register_term
class ProxyClassifierTerm(Term):
    """Trains W on detached features with its own optimizer; it never changes the encoder.

    Args:
        weight, first_epoch, last_epoch: see :class:`Term`; the weight scales the reported loss, but not W's step.
        lr: Adam's learning rate, without a schedule; 3.5e-4 in the paper.
        follow_encoder: above 0, the learning rate is this multiple of the encoder's in every epoch; 0: it is ``lr``.
        weight_decay: 5e-4 in the paper.
        scale: factor from cosines to logits; 16 in the paper.
    """

    name = "proxy_classifier"
    _last_loss: Tensor

    def __init__(
        self,
        weight: float = 1.0,
        first_epoch: int = 0,
        last_epoch: int = -1,
        lr: float = PROMPT_AND_CLASSIFIER_LR,
        weight_decay: float = 5e-4,
        scale: float = SCALE,
        follow_encoder: float = 0.0,
    ) -> None:
        super().__init__(weight, first_epoch, last_epoch)
        self.lr = lr
        self.weight_decay = weight_decay
        self.scale = scale
        self.follow_encoder = follow_encoder
        self._schedule: FollowingRate | None = None

    def bind(self, setup: Setup) -> None:
        start = generator(setup.seed, "proxy classifier")
        self.classifier = ProxyClassifier(setup.labels.num_proxies, setup.feature_dim, self.scale, generator=start)
        self.classifier.to(setup.device)
        self.optimizer = torch.optim.Adam(self.classifier.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        if self.follow_encoder and setup.optimizer is not None:
            self._schedule = FollowingRate(self.optimizer, setup.optimizer, self.follow_encoder)

    def owned(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        return self.classifier, self.optimizer

    def schedule(self) -> FollowingRate | None:
        return self._schedule

    def step_own(self, batch: Batch) -> None:
        self._last_loss = self.classifier.learn(batch.features, batch.proxies, self.optimizer)

    def loss(self, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        return {"classification": self._last_loss}
