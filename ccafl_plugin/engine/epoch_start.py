"""What happens at the start of every epoch: extraction, association, fresh memories."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from ccafl_plugin.association import pair_scores
from ccafl_plugin.data.label_noise import true_persons
from ccafl_plugin.engine.extraction import TrainingImages, unit_features
from ccafl_plugin.losses import unit_group_means
from ccafl_plugin.terms import EpochState, Term

if TYPE_CHECKING:
    from ccafl_plugin.engine.ccafl_engine import ImageCCAFLEngine


class EpochStart:
    """Refreshes the terms of an epoch.

    Args:
        engine: whose model, labels and writer are used.
        extraction_memory: MB in which the training images may stay from epoch to epoch.
    """

    def __init__(self, engine: ImageCCAFLEngine, extraction_memory: int) -> None:
        self.engine = engine
        labels = engine.labels
        self.images = TrainingImages(engine.datamanager, labels, extraction_memory)
        self.proxies = labels.proxy_of_image[labels.path_order].to(engine.device)
        self.true_persons = true_persons(engine.train_loader.dataset, labels)

    def __call__(self, terms: list[Term]) -> list[Term]:
        """Refreshes the terms.

        Args:
            terms: those whose window holds this epoch.

        Returns:
            Those that can be used in this epoch: without any pseudo identity, terms that need one pause.
        """
        engine = self.engine
        features = None
        if any(term.needs_features for term in terms) or (
            not engine.supervision.is_full and any(term.needs_association for term in terms)
        ):
            engine.set_model_mode("eval")
            features = self.images.encode(unit_features(engine.model), engine.device, engine.extraction_dtype)
        pseudo = None
        if any(term.needs_association for term in terms):
            pseudo = self._associate(features)
            if not bool((pseudo >= 0).any()):
                paused = [term.name for term in terms if term.needs_association]
                warnings.warn(
                    f"No pseudo identity in epoch {engine.epoch}: {', '.join(paused)} pause for this epoch.",
                    stacklevel=2,
                )
                terms = [term for term in terms if not term.needs_association]
        state = EpochState(
            epoch=engine.epoch,
            features=features,
            proxies=self.proxies,
            pseudo_of_proxy=pseudo,
            text=engine.text.of_proxies,
            seed=engine.seed,
        )
        for term in terms:
            term.refresh(state)
        groups = enumerate(engine.optimizer.param_groups)
        self._write("Learning_rate", {group.get("name", f"group_{i}"): group["lr"] for i, group in groups})
        return terms

    def _associate(self, features: torch.Tensor | None) -> torch.Tensor:
        """(N,) int64 on the model's device; prints and writes how good the association is."""
        engine, labels = self.engine, self.engine.labels
        means = None if features is None else unit_group_means(features.double(), self.proxies, labels.num_proxies)
        pseudo = engine.supervision.pseudo_identities(means, labels)
        scores = pair_scores(pseudo, labels.camera_of_proxy, self.true_persons)
        count = int(pseudo.max()) + 1
        kept = int((pseudo >= 0).sum())
        print(
            f"=> Epoch {engine.epoch + 1}: {count} pseudo identities over {kept} of {labels.num_proxies} proxies "
            f"(diagnostics from true identities: pair precision {scores.precision:.1%}, recall {scores.recall:.1%})"
        )
        values = {
            "pseudo_identities": count,
            "proxies": kept,
            "precision": scores.precision,
            "recall": scores.recall,
        }
        self._write("Association", values)
        engine.association_history.append({"epoch": engine.epoch, **values})
        return pseudo.to(engine.device)

    def _write(self, group: str, values: dict[str, float]) -> None:
        if self.engine.writer is not None:
            for name, value in values.items():
                self.engine.writer.add_scalar(f"{group}/{name}", value, self.engine.epoch)
