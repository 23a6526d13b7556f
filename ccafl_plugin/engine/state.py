"""The state of a run: exactly what a checkpoint contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ccafl_plugin.engine.effective_settings import EffectiveSettings
from ccafl_plugin.engine.same_settings import kind_of, misfit, settings_that_differ
from ccafl_plugin.optim import load_state
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.provenance import code_digest, versions

MAIN = "model"
"""The part with the run's optimizer and schedule; other parts belong to terms or are the prompts."""


@dataclass
class History:
    """Facts about a run so far. They are written into the manifest of every checkpoint and into ``results.json``.

    Attributes:
        effective_settings: the settings with which the run trains; None until the engine is created.
        association: facts about the association, one entry per epoch with an association.
        groups: pseudo identities of the last association, if the next one is compared with it; else empty.
        training_seconds: seconds of stage 1 and all epochs, without tests.
        code: digest of the code that computes this part of the run.
        earlier_code: digests of the code that computed the earlier parts of the run, if it differs.
        skipped_steps: ``epoch`` and number of ``skipped`` steps, for epochs that have some.
        settings: settings of the run that are not the defaults, by key; None in a program without a configuration.
        dataset: fingerprint of the training list.
        settings_history: ``first_epoch`` and ``settings`` of each part of the run that had its own settings.
    """

    effective_settings: EffectiveSettings | None = None
    association: list[dict[str, Any]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    training_seconds: float = 0.0
    code: str = field(default_factory=lambda: code_digest())  # read now, because files may change during the run
    earlier_code: list[str] = field(default_factory=list)
    skipped_steps: list[dict[str, int]] = field(default_factory=list)
    settings: dict[str, Any] | None = None
    dataset: dict[str, Any] = field(default_factory=dict)
    settings_history: list[dict[str, Any]] = field(default_factory=list)

    def note_settings(self, settings: EffectiveSettings) -> None:
        """Replaces the effective settings; call it before the run continues from a checkpoint."""
        self.effective_settings = settings

    def note_skipped(self, epoch: int, skipped: int, steps: int, scaled: bool) -> None:
        """Prints and stores how many steps of an epoch were skipped, if there are any.

        Args:
            epoch: from 0.
            skipped: number of skipped steps.
            steps: number of all steps.
            scaled: whether a gradient scaler decides.
        """
        if skipped:
            self.skipped_steps.append({"epoch": epoch, "skipped": skipped})
            print(
                f"=> Epoch {epoch + 1}: {skipped} of {steps} steps were skipped, because a gradient was not finite"
                + scaled * " (at its start, mixed precision does so)"
            )

    def facts(self) -> dict[str, Any]:
        """The entries of the manifest."""
        settings = self.effective_settings
        return {
            "effective_settings": {} if settings is None else settings.as_dict(),
            "settings": self.settings,
            "dataset": self.dataset,
            "versions": versions(),
            "history": {
                "seconds": self.training_seconds,
                "association": self.association,
                "groups": self.groups,
                "code": [self.code, *self.earlier_code],
                "settings": self.settings_so_far(),
                "skipped_steps": self.skipped_steps,
            },
        }

    def settings_so_far(self) -> list[dict[str, Any]]:
        """:attr:`settings_history`, or for a run in one piece its only entry."""
        return self.settings_history or [{"first_epoch": 0, "settings": self.settings}]

    def go_on_from(self, facts: Mapping[str, Any]) -> None:
        """Takes over the history of a manifest, but not its settings, because this run may have others."""
        history = facts.get("history", {})
        self.training_seconds = float(history.get("seconds", 0.0))
        self.association = list(history.get("association", []))
        self.groups = list(history.get("groups", []))
        self.skipped_steps = list(history.get("skipped_steps", []))
        self.earlier_code = [digest for digest in history.get("code", []) if digest != self.code]
        began = {"first_epoch": 0, "settings": facts.get("settings")}
        epoch = int(facts["epoch"])
        earlier = history.get("settings", [began])
        self.settings_history = [entry for entry in earlier if entry["first_epoch"] in range(max(epoch, 1))]
        if self.settings_history[-1]["settings"] != self.settings:
            self.settings_history.append({"first_epoch": epoch, "settings": self.settings})


@dataclass
class TrainingState:
    """The state of a run at the end of an epoch; a run that loads it gives bit-equal results.

    It contains no memories, because every epoch creates new ones, and no random states, because every epoch seeds its
    own.

    Attributes:
        models: the parts by name: ``model``, ``prompts``, and the modules that terms own.
        optimizers: optimizers of the parts; None if a part is not trained in stage 2.
        schedulers: schedules of the parts; None for a constant learning rate.
        scaler: gradient scaler of mixed precision; without effect for other precisions.
        rank1: Rank-1 of the last test, 0 before any test.
        history: facts about the run so far.
    """

    models: dict[str, nn.Module]
    optimizers: dict[str, Optimizer | None]
    schedulers: dict[str, Any]
    scaler: Any
    rank1: float = 0.0
    history: History = field(default_factory=History)

    def score_facts(self) -> dict[str, Any]:
        """The entry of the manifest that a test changes."""
        return {"rank1": self.rank1}

    def parts(self, finished_epochs: int) -> dict[str, dict[str, Any]]:
        """The content of each part's file, in torchreid's layout.

        Args:
            finished_epochs: 0 after stage 1.
        """
        parts = {}
        for name, model in self.models.items():
            optimizer, scheduler = self.optimizers[name], self.schedulers[name]
            part = {
                "state_dict": unwrap(model).state_dict(),  # the same names with and without nn.DataParallel
                "epoch": finished_epochs,
                "rank1": self.rank1,
            }
            if optimizer is not None:
                part["optimizer"] = optimizer.state_dict()
            if scheduler is not None:
                part["scheduler"] = scheduler.state_dict()
                part["schedule"] = kind_of(scheduler)
            if name == MAIN:
                part["scaler"] = self.scaler.state_dict()
            parts[name] = part
        return parts

    def load_part(self, name: str, saved: Mapping[str, Any], stepped: bool) -> None:
        """Loads a part: its weights, and if it was trained also its optimizer, schedule and scaler.

        Args:
            name: name of the part.
            saved: content of its file.
            stepped: whether its optimizer must continue from the saved state.

        Raises:
            RuntimeError, ValueError, KeyError: it does not match.
        """
        optimizer, scheduler = self.optimizers[name], self.schedulers[name]
        if not stepped or optimizer is None or not (saved["optimizer"]["state"] or scheduler is not None):
            optimizer = scheduler = None
        if optimizer is not None:
            different = settings_that_differ(optimizer, scheduler, saved, own_rate=name != MAIN)
            different = different or misfit(optimizer, saved["optimizer"])
            if different:
                raise ValueError(
                    f"it was trained with {different}. To train with other settings, start a new run; use "
                    "model.load_weights to keep the weights"
                )
        weights = {tensor.removeprefix("module."): value for tensor, value in saved["state_dict"].items()}
        unwrap(self.models[name]).load_state_dict(weights)
        if optimizer is not None:
            load_state(optimizer, saved["optimizer"])
        if scheduler is not None:
            scheduler.load_state_dict(saved["scheduler"])
        if name == MAIN:
            self.rank1 = _rank1(saved.get("rank1", 0.0))
            if saved.get("scaler"):  # missing after a run in another precision; then this run's scaler starts new
                self.scaler.load_state_dict(saved["scaler"])


def _rank1(saved: Any) -> float:
    """The score of the last test; a checkpoint that other programs wrote may have none."""
    try:
        return float(saved)
    except (TypeError, ValueError) as error:
        raise ValueError(f"its rank1 is {saved!r}, no number") from error
