"""Resuming with other settings: what a run must keep, and what takes effect from here (docs/checkpoints.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from ccafl_plugin.config.tree import default_config
from ccafl_plugin.engine.earlier_runs import RESULTS
from ccafl_plugin.engine.manifests import epoch_of, manifests
from ccafl_plugin.runs import results
from ccafl_plugin.utils.errors import CCAFLError

AUTO = "auto"
"""Value of ``model.resume``: go on with the run in ``data.save_dir``, or begin it."""

ALWAYS_KEPT = (
    "train.seed",
    "model.name",
    "loss.name",
    "data.type",
    "data.sources",
    "data.height",
    "data.width",
    "data.norm_mean",
    "data.norm_std",
    "data.combineall",
    "data.split_id",
    "cuhk03.labeled_images",
    "cuhk03.classic_split",
    "ccafl.supervision",
    "ccafl.prompt_length",
    "ccafl.stage1.*",
    "ccafl.label_noise.*",
    "ccafl.data.*",
    "ccafl.synthetic.*",
)
"""Keys that a resumed run keeps: with another value it would be another run."""

KEPT_AFTER_THE_START = (
    "train.batch_size",
    "train.optim",
    "train.lr",
    "train.weight_decay",
    "train.lr_scheduler",
    "train.stepsize",
    "train.gamma",
    "train.staged_lr",
    "train.new_layers",
    "train.base_lr_mult",
    "sgd.*",
    "rmsprop.*",
    "adam.*",
    "sampler.*",
    "data.k_tfm",
    "ccafl.iters_per_epoch",
    "ccafl.bias_lr_factor",
    "ccafl.freeze_patch_projection",
    "ccafl.warmup_epochs",
    "ccafl.warmup_factor",
    "ccafl.cosine_final_factor",
    "ccafl.association.*",
    "ccafl.terms.proxy_classifier.*",
)
"""Keys that may change after stage 1, before the first epoch, and not later."""

OF_THE_BEGINNING = ("model.pretrained", "model.load_weights", "ccafl.clip_weights", "ccafl.clip_activation")
"""Keys that say where a run begins; a checkpoint has its own weights, so they have no effect."""

PER_WORKER = "data.workers"

LABELS_ONLY = ("ccafl.published_settings", "ccafl.data.fitted_from", "ccafl.data.fit")
"""Keys that change nothing by themselves."""


@dataclass
class Changes:
    """Differences between the settings of a checkpoint and of the run that goes on from it.

    Attributes:
        refused: key -> (value before, value now) of settings that a run keeps.
        from_here: of settings that take effect from here.
        without_effect: of settings that only act at a run's beginning.
        workers: of ``data.workers``.
    """

    refused: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    from_here: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    without_effect: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    workers: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def lines(self, epoch: int) -> list[str]:
        """What is printed about the changes that are allowed.

        Args:
            epoch: number of finished epochs.
        """
        found = []
        if self.from_here:
            found.append(f"From epoch {epoch + 1} on, these settings are others than before: {said(self.from_here)}.")
        if self.without_effect:
            found.append(f"Without effect, because the run has begun already: {said(self.without_effect)}.")
        if self.workers:
            found.append(
                f"{said(self.workers)}: random augmentation is drawn per worker, so the numbers are not those of the "
                "unbroken run."
            )
        return found


def said(pairs: Mapping[str, tuple[Any, Any]]) -> str:
    """``KEY NOW (before THEN)``, ..."""
    return ", ".join(f"{key} {_word(now)} (before {_word(then)})" for key, (then, now) in pairs.items())


def _word(value: Any) -> str:
    return "empty" if value == "" else str(value)


def changes(then: Mapping[str, Any], now: Mapping[str, Any], epoch: int) -> Changes:
    """Compares settings.

    Args:
        then: settings that were not the defaults, by key, as a manifest holds them.
        now: the same of this run.
        epoch: number of finished epochs; 0 after stage 1.
    """
    defaults = dict(results.setting_leaves(default_config()))
    found = Changes()
    for key in sorted({*then, *now}):
        pair = (then.get(key, defaults.get(key)), now.get(key, defaults.get(key)))
        if pair[0] == pair[1] or key in LABELS_ONLY or key in results.WITHOUT_EFFECT:
            continue
        if _fits(key, ALWAYS_KEPT) or (epoch > 0 and _fits(key, KEPT_AFTER_THE_START)):
            found.refused[key] = pair
        elif key == PER_WORKER:
            if _draws_per_worker({**defaults, **now}):
                found.workers[key] = pair
        else:
            (found.without_effect if key in OF_THE_BEGINNING else found.from_here)[key] = pair
    return found


def _draws_per_worker(settings: Mapping[str, Any]) -> bool:
    """Whether random augmentation depends on the number of data workers."""
    return settings["loss.name"] != "ccafl" or not settings["ccafl.device_transforms"]


def _fits(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def check_settings(config: CfgNode, manifest: Mapping[str, Any]) -> None:
    """Refuses to go on with settings that make another run, and prints those that take effect from here.

    Raises:
        CCAFLError: a setting that a run keeps has another value.
    """
    then = manifest.get("settings")
    if then is None:  # version 0.1.0, or a program without a configuration
        return
    found = changes(then, results.settings_of(config), manifest["epoch"])
    if found.refused:
        raise CCAFLError(
            f"model.resume: a resumed run keeps these settings: {said(found.refused)}. Set them as before, or begin a "
            "new run in another data.save_dir (model.load_weights takes over the weights)."
        )
    for line in found.lines(manifest["epoch"]):
        print(line)


def resolve_auto(config: CfgNode) -> str | None:
    """What ``model.resume auto`` means in the run's folder.

    Returns:
        The path to resume from; empty if the run begins; None if it is finished and there is nothing to do.

    Raises:
        CCAFLError: the finished run had other settings.
    """
    folder = Path(config.data.save_dir)
    ccafl = config.loss.name == "ccafl"
    newest = _newest(folder, ccafl)
    if config.test.evaluate:
        if newest is None:
            raise CCAFLError(f"model.resume: there is no checkpoint in {str(folder)!r} to test.")
        return newest[1]
    done = results.read(folder)
    all_epochs = done is not None and done.get("epochs") == config.train.max_epoch
    if done is not None and all_epochs and (newest is None or newest[0] >= done["epochs"]):
        found = changes(done.get("settings") or {}, results.settings_of(config), done["epochs"])
        different = {**found.refused, **found.from_here}
        if different:
            raise CCAFLError(
                f"model.resume auto: the run in {str(folder)!r} is finished, with other settings: {said(different)}. "
                "Choose another data.save_dir for a new run."
            )
        print(
            f"Nothing to do: the run in {str(folder)!r} has finished its {done['epochs']} epochs ({RESULTS}). "
            "Raise train.max_epoch to go on."
        )
        return None
    if newest is None:
        print(f"model.resume auto: there is no checkpoint in {str(folder)!r}, so the run begins.")
        return ""
    return newest[1]


def _newest(folder: Path, ccafl: bool) -> tuple[int, str] | None:
    """Number of finished epochs and path of the newest checkpoint; torchreid's own engines need a file."""
    if ccafl:
        found = manifests(folder)
        return (epoch_of(found[-1]), str(folder)) if found else None
    files = {file.name.removeprefix("model.pth.tar-"): str(file) for file in folder.glob("model/model.pth.tar-*")}
    numbered = sorted((int(number), file) for number, file in files.items() if number.isdecimal())
    return numbered[-1] if numbered else None
