"""What happens at the start of every epoch: extraction, association, fresh memories."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ccafl_plugin.association import spread_inside, whiten
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.association_report import AssociationReport
from ccafl_plugin.engine.extraction import TrainingImages, unit_features
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.losses import group_means
from ccafl_plugin.terms import EpochState, Term


class Started(NamedTuple):
    """An epoch that can be trained.

    Attributes:
        terms: those that take part: without any pseudo identity, terms that need one pause.
        association: what is known of it: ``pseudo_identities``, ``proxies`` and what the report adds; None without one.
    """

    terms: list[Term]
    association: dict[str, Any] | None


@dataclass
class EpochStart:
    """Refreshes the terms of an epoch.

    Attributes:
        model: whose features are taken; in eval mode afterwards.
        images: the training images with the test transform.
        labels: of the training list.
        supervision: where pseudo identities come from.
        report: what is said of an association.
        dtype: of mixed precision while features are taken; None for none.
        seed: of the run.
    """

    model: nn.Module
    images: TrainingImages
    labels: ProxyLabels
    supervision: Supervision
    report: AssociationReport
    dtype: torch.dtype | None
    seed: int

    def __post_init__(self) -> None:
        self.device = next(self.model.parameters()).device
        self.proxies = self.labels.proxy_of_image[self.labels.path_order].to(self.device)

    def __call__(self, epoch: int, terms: Sequence[Term], text: Tensor | None = None) -> Started:
        """Refreshes the terms; takes features and associates only if one of them asks for it.

        Args:
            epoch: from 0.
            terms: those whose window holds this epoch.
            text: (N, E) float32, text feature of every proxy; None without prompts.
        """
        associate = any(term.needs_association for term in terms)
        features = pseudo = scores = None
        if any(term.needs_features for term in terms) or (associate and not self.supervision.is_full):
            self.model.eval()
            features = self.images.encode(unit_features(self.model), self.device, self.dtype)
        if associate:
            pseudo, scores = self._associate(epoch, features)
            if not bool((pseudo >= 0).any()):
                paused = ", ".join(term.name for term in terms if term.needs_association)
                warnings.warn(f"No pseudo identity in epoch {epoch}: {paused} pause for this epoch.", stacklevel=2)
                terms = [term for term in terms if not term.needs_association]
        state = EpochState(
            epoch=epoch,
            proxies=self.proxies,
            seed=self.seed,
            features=features,
            pseudo_of_proxy=pseudo,
            text=text,
        )
        for term in terms:
            term.refresh(state)
        return Started(list(terms), scores)

    def _proxy_features(self, features: Tensor) -> Tensor:
        """(N, D) float64, unit rows: what proxies are associated by."""
        means = group_means(features, self.proxies, self.labels.num_proxies)
        if not self.supervision.whitening or self.supervision.is_full:
            return normalize(means, dim=1)
        spread = spread_inside(features, means, self.proxies)
        return whiten(normalize(means, dim=1), spread, self.supervision.whitening)

    def _associate(self, epoch: int, features: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """(N,) int64 on the model's device, and what is known of the association, which is printed, too."""
        labels = self.labels
        means = None if features is None else self._proxy_features(features.double())
        pseudo = self.supervision.pseudo_identities(means, labels)
        count = int(pseudo.max()) + 1
        kept = int((pseudo >= 0).sum())
        words, known = self.report.of_epoch(pseudo, means)
        print(f"=> Epoch {epoch + 1}: {count} pseudo identities over {kept} of {labels.num_proxies} proxies ({words})")
        return pseudo.to(self.device), {"pseudo_identities": count, "proxies": kept, **known}
