"""What is said of an epoch's association: how right it is where true identities are known, else what can be seen."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ccafl_plugin.association import pair_scores
from ccafl_plugin.association.group_facts import group_facts
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.state import History
from ccafl_plugin.metrics.camera_probe import camera_predictability
from ccafl_plugin.utils.seeds import generator

PROBED_PROXIES = 4096
"""The camera probe learns from at most so many proxies, drawn at random."""


class AssociationReport(Protocol):
    """What is said of an association."""

    def of_epoch(self, pseudo: Tensor, features: Tensor | None) -> tuple[str, dict[str, Any]]:
        """Words for the log, and numbers by name.

        Args:
            pseudo: (N,) int64, pseudo identity of each proxy, -1 for none.
            features: (N, D) float64, unit rows, of the proxies; None if nothing took them.
        """


class GroupReport:
    """What can be known of groups without any label across cameras.

    Args:
        labels: of the training set.
        history: of the run; its ``groups`` are those of the association before.
        seed: of what is drawn.
    """

    def __init__(self, labels: ProxyLabels, history: History, seed: int) -> None:
        self.labels, self.history, self.seed = labels, history, seed

    def of_epoch(self, pseudo: Tensor, features: Tensor | None) -> tuple[str, dict[str, Any]]:
        """See :class:`AssociationReport`; numbers that nothing can be said of are left out."""
        cameras, before = self.labels.camera_of_proxy, self.history.groups
        facts = group_facts(
            pseudo.cpu(), cameras, features, torch.tensor(before) if len(before) == len(cameras) else None
        )
        self.history.groups = pseudo.tolist()
        values: dict[str, Any] = {key: value for key, value in facts._asdict().items() if value is not None}
        values["sizes"] = {str(size): count for size, count in facts.sizes.items()}
        words = str(facts)
        if features is not None:
            order = torch.randperm(len(cameras), generator=generator(self.seed, "probed proxies"))[:PROBED_PROXIES]
            rows = order.sort().values
            probe = camera_predictability(features[rows.to(features.device)].float(), cameras[rows], seed=self.seed)
            if probe.accuracy == probe.accuracy:  # NaN where fewer than two cameras have two proxies
                values |= {"camera_accuracy": probe.accuracy, "camera_chance": probe.chance}
                words += f"; the camera is told from {probe.accuracy:.1%} of the proxies (chance {probe.chance:.1%})"
        return words, values


class TrueIdentities:
    """Precision and recall of cross-camera pairs, from true identities.

    Args:
        persons: (N,) int64, the true person of each proxy.
        labels: of the training set.
        groups: gives the other numbers, for tables and figures; the log has precision and recall only.
    """

    def __init__(self, persons: Tensor, labels: ProxyLabels, groups: GroupReport) -> None:
        self.persons, self.labels, self.groups = persons, labels, groups

    def of_epoch(self, pseudo: Tensor, features: Tensor | None) -> tuple[str, dict[str, Any]]:
        """See :class:`AssociationReport`."""
        _, values = self.groups.of_epoch(pseudo, features)
        scores = pair_scores(pseudo, self.labels.camera_of_proxy, self.persons)
        words = f"diagnostics from true identities: pair precision {scores.precision:.1%}, recall {scores.recall:.1%}"
        return words, {"precision": scores.precision, "recall": scores.recall, **values}
