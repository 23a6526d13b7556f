"""Checks that a run that continues from another run's checkpoint gives the same result as the run on its own."""

from __future__ import annotations

from typing import Any

from yacs.config import CfgNode

from ccafl_plugin.config.arguments import make_terms
from ccafl_plugin.models import is_clip
from ccafl_plugin.runs.results import WITHOUT_EFFECT, setting_leaves
from ccafl_plugin.terms import TERMS

_LATER = ("train.max_epoch", "ccafl.camera_probe", "data.targets")
"""Settings that are only read after the last epoch."""

_SCHEDULERS_OF_MAX_EPOCH = ("cosine", "warmup_cosine")

_OF_CLASSES = ("softmax", "triplet")
"""Terms whose classes depend on the supervision."""

_OF_FEATURES = "test.batch_size"
"""Batch size of the feature extraction at the start of an epoch; another size rounds differently."""

_SUPERVISION = "ccafl.supervision"

_WINDOW = ("enabled", "first_epoch", "last_epoch")
"""Settings of a term that decide when it is active."""

_NEVER_MOVES_THE_ENCODER = "proxy_classifier"
"""A term that a source may have although the row does not: it learns from detached features."""


def difference_before(row: CfgNode, source: CfgNode, epoch: int) -> str:
    """Finds the first setting in which two runs differ before an epoch.

    These settings may differ: terms that are not active before the epoch, association and supervision while no active
    term needs them, and the number of epochs.

    Args:
        row: configuration of the run that branches.
        source: configuration of the run whose checkpoint it starts from.
        epoch: number of epochs that the two runs share.

    Returns:
        The key of the setting; empty if there is none.
    """
    for found in (
        _outside_terms(row, source),
        _of_stage1(row, source) if epoch > 0 else "",
        _of_terms(row, source, epoch),
        _of_pseudo_identities(row, source, epoch),
    ):
        if found:
            return found
    return ""


def _outside_terms(row: CfgNode, source: CfgNode) -> str:
    """The first setting that differs, without terms, association and supervision."""
    ours, theirs = dict(setting_leaves(row)), dict(setting_leaves(source))
    for key in ours:
        if ours[key] == theirs[key] or key in WITHOUT_EFFECT or key in _LATER:
            continue
        if key == _OF_FEATURES or not key.startswith(("test.", "ccafl.terms.", "ccafl.association.", _SUPERVISION)):
            return key
    if row.train.lr_scheduler in _SCHEDULERS_OF_MAX_EPOCH and row.train.max_epoch != source.train.max_epoch:
        return "train.max_epoch"
    return next((key for key in _of_what_is_built(row) if ours[key] != theirs[key]), "")


def _of_stage1(row: CfgNode, source: CfgNode) -> str:
    """The setting that makes the row learn prompts and its source not; empty if both do, or if the row does not."""
    if not _has_stage1(row) or _has_stage1(source):
        return ""
    ours, theirs = dict(setting_leaves(row)), dict(setting_leaves(source))
    keys = [key for key in ours if key.startswith(("ccafl.terms.alignment.", "ccafl.terms.icdl."))]
    of_windows = ("enabled", "first_epoch", "last_epoch", "weight_alignment")
    differ = (key for key in keys if key.endswith(of_windows) and ours[key] != theirs[key])
    return next(differ, "train.max_epoch")


def _of_terms(row: CfgNode, source: CfgNode, epoch: int) -> str:
    """The first setting of a term that differs and has an effect before an epoch."""
    for name in row.ccafl.terms:
        mine, other = row.ccafl.terms[name], source.ccafl.terms[name]
        if not mine.enabled and name == _NEVER_MOVES_THE_ENCODER:
            continue
        window = _window(mine, epoch)
        if window != _window(other, epoch):
            return f"ccafl.terms.{name}." + next(key for key in _WINDOW if mine[key] != other[key])
        differ = (key for key in mine if key not in _WINDOW and mine[key] != other[key])
        if window and (key := next(differ, "")):
            return f"ccafl.terms.{name}.{key}"
    return ""


def _of_pseudo_identities(row: CfgNode, source: CfgNode, epoch: int) -> str:
    """The first setting of supervision or association that differs, if a term active before the epoch reads it."""
    active = [name for name, term in row.ccafl.terms.items() if _window(term, epoch)]
    associates = any(TERMS[name].needs_association for name in active)
    supervised = any(name in _OF_CLASSES for name in active)
    if (associates or supervised) and row.ccafl.supervision != source.ccafl.supervision:
        return _SUPERVISION
    mine, other = row.ccafl.association, source.ccafl.association
    differ = (key for key in ("name", "keep_unassociated", "whitening", mine.name) if mine[key] != other[key])
    return f"ccafl.association.{key}" if associates and (key := next(differ, "")) else ""


def _of_what_is_built(config: CfgNode) -> list[str]:
    """Settings that decide which parameters a model has.

    A CLIP model has a classifier if the term softmax is enabled; other models always have one. The supervision decides
    the number of its classes.
    """
    clip = is_clip(config.model.name)
    softmax = "ccafl.terms.softmax.enabled"
    if not clip:
        return [_SUPERVISION]
    return [softmax, _SUPERVISION] if config.ccafl.terms.softmax.enabled else [softmax]


def _has_stage1(config: CfgNode) -> bool:
    """True if a run learns prompts before its first epoch."""
    return any(term.needs_text and term.window(config.train.max_epoch) for term in make_terms(config))


def _window(term: Any, epochs: int) -> list[int]:
    """The epochs below ``epochs`` in which a term is active."""
    last = term.last_epoch if term.last_epoch >= 0 else epochs
    return [epoch for epoch in range(epochs) if term.enabled and term.first_epoch <= epoch <= last]
