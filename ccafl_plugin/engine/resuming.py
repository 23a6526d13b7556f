"""Saving a run, resuming it, and branching another run from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchreid

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine import checkpoints
from ccafl_plugin.engine.effective_settings import EffectiveSettings
from ccafl_plugin.engine.model_outputs import Promise
from ccafl_plugin.engine.same_settings import kind_of, settings_that_differ
from ccafl_plugin.optim import load_state
from ccafl_plugin.utils.distributed import is_first_process, unwrap
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.provenance import code_digest


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
        earlier_code: digests of the code that computed the checkpoints which this run goes on from, if another.
        goes_on: whether a checkpoint has been loaded.
        folder: of the run, where its checkpoints are; None while it has none.
        effective_settings: what is trained with; whoever knows of published settings puts them beside it.
    """

    scaler: Any
    labels: ProxyLabels
    promise: Promise
    keep: int
    keep_epochs: frozenset[int]
    rank1: float
    association_history: list[dict[str, float]]
    training_seconds: float
    earlier_code: list[str]
    goes_on: bool
    folder: Path | None
    effective_settings: EffectiveSettings

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Everything a run needs, in torchreid's layout, and a manifest.

        Args:
            epoch: the epoch that has ended, from 0; -1 after stage 1.
            rank1: of the last test.
            save_dir: folder of the run.
            is_best: kept for torchreid's signature; scores are of the last epoch, no best is picked.
        """
        if not is_first_process():  # all have the same
            return
        parts = {}
        for name in self.get_model_names():
            weights = unwrap(self._models[name]).state_dict()  # so that a checkpoint fits with and without a GPU
            state = {"state_dict": weights, "epoch": epoch + 1, "rank1": float(rank1)}
            if self._optims[name] is not None:
                state["optimizer"] = self._optims[name].state_dict()
            if self._scheds[name] is not None:
                state["scheduler"] = self._scheds[name].state_dict()
                state["schedule"] = kind_of(self._scheds[name])
            if name == "model":
                state["scaler"] = self.scaler.state_dict()
            parts[name] = state
        history = {
            "seconds": self.training_seconds,
            "association": self.association_history,
            "code": [code_digest(), *self.earlier_code],
        }
        facts = {
            "architecture": self._architecture(),
            "effective_settings": self.effective_settings.as_dict(),
            "history": history,
        }
        checkpoints.save(save_dir, parts, facts, self.keep, self.keep_epochs)

    def resume(self, path: str, to_train: bool = True) -> int:
        """Goes on from a checkpoint's end of epoch.

        Args:
            path: a run's folder, a manifest or a part's file.
            to_train: False for a test: learning rate and schedule don't matter then.

        Returns:
            The epoch to start with.

        Raises:
            CCAFLError: no whole checkpoint there, or one of another model, other terms, or, behind the first epoch,
                another learning rate or schedule.
        """
        manifest, parts = checkpoints.load(path)
        expected = self._architecture()
        if manifest.get("architecture") != expected or set(parts) != set(self.get_model_names()):
            raise CCAFLError(
                f"model.resume: {str(path)!r} is a checkpoint of {manifest.get('architecture')} with the parts "
                f"{sorted(parts)}, this run is {expected} with {sorted(self.get_model_names())}."
            )
        self._continue_from(manifest, parts, "model.resume", path, to_train)
        self.effective_settings = self.effective_settings.going_on_from(manifest.get("effective_settings", {}))
        self.folder = checkpoints.find_manifest(path).parent.resolve()
        print(f'Resumed from "{path}", epoch {manifest["epoch"]}')
        return manifest["epoch"]

    def branch(self, path: str) -> int:
        """Goes on from a checkpoint of another run, whose terms and later settings may differ.

        Model, optimizer and scheduler must be there and fit. Another part that the checkpoint lacks (the proxy
        classifier) starts fresh, one that this run lacks is ignored. An optimizer that has not stepped yet keeps this
        run's settings. If both runs have the same settings up to
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
        shared = {name: state for name, state in parts.items() if name in self.get_model_names()}
        self._continue_from(manifest, shared, "ccafl.branch_from", path)
        print(f'Branched from "{path}", epoch {manifest["epoch"]}, with {", ".join(shared)}')
        return manifest["epoch"]

    def make_room(self, save_dir: str, start_epoch: int) -> None:
        """Moves checkpoints of other runs, or of epochs that this one repeats, out of a folder that it begins to fill.

        Args:
            save_dir: folder of the run.
            start_epoch: number of epochs that lie behind this run.
        """
        own = self.folder == Path(save_dir).resolve()
        self.folder = Path(save_dir).resolve()
        if not is_first_process():
            return
        aside = checkpoints.set_aside(save_dir, behind=start_epoch if own else -1)
        if aside is not None:
            print(f'Checkpoints of an earlier run in "{save_dir}" are now in "{aside}"')

    def _continue_from(
        self, manifest: dict[str, Any], parts: dict[str, Any], key: str, path: str, to_train: bool = True
    ) -> None:
        """Loads the parts of a checkpoint and what has been noted up to it."""
        for name, state in parts.items():
            try:
                self._load_part(name, state, stepped=to_train and manifest["epoch"] > 0)
            except (RuntimeError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())
                raise CCAFLError(
                    f"{key}: the part {name!r} of {str(path)!r} does not fit this run: {reason}"
                ) from error
        self.goes_on = True
        if parts["model"].get("scaler"):  # of a run in another precision there is none, this run's starts afresh
            self.scaler.load_state_dict(parts["model"]["scaler"])
        self.rank1 = float(parts["model"]["rank1"])
        history = manifest.get("history", {})
        self.training_seconds = float(history.get("seconds", 0.0))
        self.association_history = list(history.get("association", []))
        self.earlier_code = [digest for digest in history.get("code", []) if digest != code_digest()]

    def _load_part(self, name: str, state: dict[str, Any], stepped: bool) -> None:
        """Weights of a part, and if epochs lie behind it its optimizer and schedule.

        Raises:
            RuntimeError, ValueError, KeyError: it doesn't fit.
        """
        optimizer, scheduler = self._optims[name], self._scheds[name]
        if not stepped or optimizer is None or not (state["optimizer"]["state"] or scheduler is not None):
            optimizer = scheduler = None
        if optimizer is not None:
            different = settings_that_differ(optimizer, scheduler, state, own_rate=optimizer is not self.optimizer)
            if different:
                raise ValueError(
                    f"it was trained with {different}; to train with other settings, begin anew, from its weights by "
                    "model.load_weights if you like"
                )
        weights = {tensor.removeprefix("module."): value for tensor, value in state["state_dict"].items()}
        unwrap(self._models[name]).load_state_dict(weights)
        if optimizer is not None:
            load_state(optimizer, state["optimizer"])
        if scheduler is not None:
            scheduler.load_state_dict(state["scheduler"])

    def _architecture(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the run that goes on from it."""
        backbone = unwrap(self.model)
        return {
            "model": getattr(backbone, "name", type(backbone).__name__),
            "feature_dim": self.promise.feature_dim,
            "proxies": self.labels.num_proxies,
        }
