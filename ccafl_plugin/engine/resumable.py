"""Saving a run, resuming it, and branching another run from it."""

from __future__ import annotations

from typing import Any

import torchreid

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine import checkpoints
from ccafl_plugin.engine.outputs import Promise
from ccafl_plugin.errors import CCAFLError
from ccafl_plugin.optim import load_state
from ccafl_plugin.recipe import Recipe
from ccafl_plugin.wrapping import unwrap


class ResumableEngine(torchreid.engine.Engine):
    """torchreid's engine with whole checkpoints. A subclass sets the attributes before its first epoch.

    Attributes:
        scaler: of the mixed precision.
        labels: of the training set.
        promise: what the model gives.
        keep: how many of the newest checkpoints stay.
        keep_epochs: numbers of finished epochs whose checkpoint stays however old it is.
        rank1: of the last test, 0 before any.
        association_history: what was noted of the association, epoch by epoch.
        training_seconds: stage 1 and all epochs so far, without tests.
        recipe: what is trained with; whoever knows of a published one puts it beside it.
    """

    scaler: Any
    labels: ProxyLabels
    promise: Promise
    keep: int
    keep_epochs: frozenset[int]
    rank1: float
    association_history: list[dict[str, float]]
    training_seconds: float
    recipe: Recipe

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Everything a run needs, in torchreid's layout, and a manifest.

        Args:
            epoch: the epoch that has ended, from 0; -1 after stage 1.
            rank1: of the last test.
            save_dir: folder of the run.
            is_best: kept for torchreid's signature; scores are of the last epoch, no best is picked.
        """
        parts = {}
        for name in self.get_model_names():
            state = {"state_dict": self._models[name].state_dict(), "epoch": epoch + 1, "rank1": float(rank1)}
            if self._optims[name] is not None:
                state["optimizer"] = self._optims[name].state_dict()
            if self._scheds[name] is not None:
                state["scheduler"] = self._scheds[name].state_dict()
            if name == "model":
                state["scaler"] = self.scaler.state_dict()
            parts[name] = state
        history = {"seconds": self.training_seconds, "association": self.association_history}
        facts = {"architecture": self._architecture(), "recipe": self.recipe.as_dict(), "history": history}
        checkpoints.save(save_dir, parts, facts, self.keep, self.keep_epochs)

    def resume(self, path: str) -> int:
        """Goes on from a checkpoint's end of epoch.

        Args:
            path: a run's folder, a manifest or a part's file.

        Returns:
            The epoch to start with.

        Raises:
            CCAFLError: no whole checkpoint there, or one of another model or other terms.
        """
        manifest, parts = checkpoints.load(path)
        expected = self._architecture()
        if manifest.get("architecture") != expected or set(parts) != set(self.get_model_names()):
            raise CCAFLError(
                f"model.resume: {str(path)!r} is a checkpoint of {manifest.get('architecture')} with the parts "
                f"{sorted(parts)}, this run is {expected} with {sorted(self.get_model_names())}."
            )
        self._continue_from(manifest, parts, "model.resume", path)
        self.recipe = self.recipe.going_on_from(manifest.get("recipe", {}))
        print(f'Resumed from "{path}", epoch {manifest["epoch"]}')
        return manifest["epoch"]

    def branch(self, path: str) -> int:
        """Goes on from a checkpoint of another run, whose terms and later settings may differ.

        Model, optimizer, scheduler and prompts must be there and fit. Another part that the checkpoint lacks (the
        proxy classifier) starts fresh, one that this run lacks is ignored. If both runs have the same settings up to
        the checkpoint's epoch, this run ends as if it had been trained from its first epoch.

        Args:
            path: a run's folder, a manifest or a part's file.

        Returns:
            The epoch to start with.

        Raises:
            CCAFLError: no whole checkpoint there, or one that doesn't fit.
        """
        manifest, parts = checkpoints.load(path, "ccafl.branch_from")
        expected = self._architecture()
        if manifest.get("architecture") != expected:
            raise CCAFLError(
                f"ccafl.branch_from: {str(path)!r} is a checkpoint of {manifest.get('architecture')}, "
                f"this run is {expected}."
            )
        if "prompts" in self.get_model_names() and "prompts" not in parts:
            raise CCAFLError(
                f"ccafl.branch_from: {str(path)!r} has no prompts, but this run compares images with text; "
                "branch from a run that had stage 1."
            )
        shared = {name: state for name, state in parts.items() if name in self.get_model_names()}
        self._continue_from(manifest, shared, "ccafl.branch_from", path)
        print(f'Branched from "{path}", epoch {manifest["epoch"]}, with {", ".join(shared)}')
        return manifest["epoch"]

    def _continue_from(self, manifest: dict[str, Any], parts: dict[str, Any], key: str, path: str) -> None:
        """Loads the parts of a checkpoint and what has been noted up to it."""
        for name, state in parts.items():
            try:
                self._models[name].load_state_dict(state["state_dict"])
                if self._optims[name] is not None:
                    load_state(self._optims[name], state["optimizer"])
                if self._scheds[name] is not None:
                    self._scheds[name].load_state_dict(state["scheduler"])
            except (RuntimeError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())
                raise CCAFLError(
                    f"{key}: the part {name!r} of {str(path)!r} does not fit this run: {reason}"
                ) from error
        if parts["model"]["scaler"]:  # of a run in another precision there is none, this run's starts afresh
            self.scaler.load_state_dict(parts["model"]["scaler"])
        self.rank1 = float(parts["model"]["rank1"])
        history = manifest.get("history", {})
        self.training_seconds = float(history.get("seconds", 0.0))
        self.association_history = list(history.get("association", []))

    def _architecture(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the run that goes on from it."""
        backbone = unwrap(self.model)
        return {
            "model": getattr(backbone, "name", type(backbone).__name__),
            "feature_dim": self.promise.feature_dim,
            "proxies": self.labels.num_proxies,
        }
