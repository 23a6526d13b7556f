"""The start of every epoch: feature extraction, association, and new memories."""

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
from ccafl_plugin.engine.label_filter import LabelFilter
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.losses import group_means
from ccafl_plugin.terms import EpochState, Term
from ccafl_plugin.utils.distributed import from_first


class Started(NamedTuple):
    """The result of an epoch's start.

    Attributes:
        terms: the active terms; if there is no pseudo identity, terms that need one are left out.
        association: facts about the association: ``pseudo_identities``, ``proxies`` and those of the report; None
            without an association.
    """

    terms: list[Term]
    association: dict[str, Any] | None


@dataclass
class EpochStart:
    """Refreshes the terms of an epoch.

    Attributes:
        model: the model that extracts features; in eval mode afterwards.
        images: the training images with the test transform.
        labels: labels of the training list.
        supervision: the source of pseudo identities.
        report: reports on the association.
        dtype: half-precision type of the extraction; None for none.
        seed: seed of the run.
        label_filter: judges labels by features; None: all images are used with their labels.
        pseudo: (N,) int64, pseudo identities of the last epoch that was started; None without an association.
    """

    model: nn.Module
    images: TrainingImages
    labels: ProxyLabels
    supervision: Supervision
    report: AssociationReport
    dtype: torch.dtype | None
    seed: int
    label_filter: LabelFilter | None = None

    def __post_init__(self) -> None:
        self.device = next(self.model.parameters()).device
        self.proxies = self.labels.proxy_of_image[self.labels.path_order].to(self.device)
        self.pseudo: Tensor | None = None

    def __call__(self, epoch: int, terms: Sequence[Term], text: Tensor | None = None) -> Started:
        """Refreshes the terms; extracts features and runs the association only if a term needs them.

        Args:
            epoch: number of the epoch, from 0.
            terms: the terms that are active in this epoch.
            text: (N, E) float32, text feature of every proxy; None without prompts.
        """
        associate = any(term.needs_association for term in terms)
        features = pseudo = scores = None
        proxies = self.proxies
        needed = any(term.needs_features for term in terms) or (associate and not self.supervision.is_full)
        if needed or self.label_filter is not None:
            features = self.features()
        if self.label_filter is not None and features is not None:
            kept, proxies = self.label_filter.look(features, f"Epoch {epoch + 1}")
            features = features[kept]
        if associate:
            pseudo, scores = self._associate(epoch, features, proxies)
            if not bool((pseudo >= 0).any()):
                paused = ", ".join(term.name for term in terms if term.needs_association)
                warnings.warn(f"No pseudo identity in epoch {epoch}. Inactive in this epoch: {paused}.", stacklevel=2)
                terms = [term for term in terms if not term.needs_association]
        self.pseudo = pseudo
        state = EpochState(
            epoch=epoch,
            proxies=proxies,
            seed=self.seed,
            features=features,
            pseudo_of_proxy=pseudo,
            text=text,
        )
        for term in terms:
            term.refresh(state)
        return Started(list(terms), scores)

    def features(self) -> Tensor:
        """(M, D) float32, unit rows: features of all training images; the model is in eval mode afterwards."""
        self.model.eval()
        return self.images.encode(unit_features(self.model), self.device, self.dtype)

    def _proxy_features(self, features: Tensor, proxies: Tensor) -> Tensor:
        """(N, D) float64, unit rows: what proxies are associated by."""
        means = group_means(features, proxies, self.labels.num_proxies)
        if not self.supervision.whitening or self.supervision.is_full:
            return normalize(means, dim=1)
        spread = spread_inside(features, means, proxies)
        return whiten(normalize(means, dim=1), spread, self.supervision.whitening)

    def _associate(self, epoch: int, features: Tensor | None, proxies: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """(N,) int64 on the model's device, and facts about the association, which are also printed."""

        def associated() -> tuple[Tensor, dict[str, Any]]:
            means = None if features is None else self._proxy_features(features.double(), proxies)
            pseudo = self.supervision.pseudo_identities(means, self.labels)
            count = int(pseudo.max()) + 1
            kept, of = int((pseudo >= 0).sum()), self.labels.num_proxies
            words, known = self.report.of_epoch(pseudo, means)
            print(f"=> Epoch {epoch + 1}: {count} pseudo identities over {kept} of {of} proxies ({words})")
            return pseudo.cpu(), {"pseudo_identities": count, "proxies": kept, **known}

        pseudo, facts = from_first(associated)
        return pseudo.to(self.device), facts
