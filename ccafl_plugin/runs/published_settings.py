"""Compares a configuration with the published settings that it claims.

A file with published values has the key ``published``, which names the source. Loading it sets
``ccafl.published_settings`` to the file. Each value that is changed afterwards, on the command line or in a suite, is a
difference from that file. A file that is only based on a published one claims nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from yacs.config import CfgNode

from ccafl_plugin.config.loading import load_config, published_by
from ccafl_plugin.config.shipped_files import config_file
from ccafl_plugin.engine.effective_settings import precision_name
from ccafl_plugin.engine.encoder_pass import PRECISIONS
from ccafl_plugin.runs.results import WITHOUT_EFFECT, setting_leaves

LEFT_OPEN = (
    *WITHOUT_EFFECT,
    "data.targets",
    "data.workers",
    "train.seed",
    "test.batch_size",
    "test.evaluate",
    "test.eval_freq",
    "test.start_eval",
    "test.ranks",
    "ccafl.published_settings",
    "ccafl.clip_weights",
    "ccafl.clip_activation",
    "ccafl.gradient_checkpointing",
    "ccafl.channels_last",
    "ccafl.extraction_memory",
    "ccafl.device_transforms",
    "ccafl.compile",
    "ccafl.fast_evaluation",
    "ccafl.camera_probe",
    # For these, the settings that really run are compared instead.
    "use_gpu",
    "ccafl.amp",
    "ccafl.precision",
    "ccafl.sync_batch_norm",
)
"""Settings that a run may change without a difference from the published settings."""


class Comparison(NamedTuple):
    """The comparison of a configuration with a published one."""

    source: str
    precision: str  # precision of the published one on a GPU
    differences: list[str]


def compare_with_published(config: CfgNode) -> Comparison | None:
    """The settings that differ from those of ``ccafl.published_settings``, in the order of the tree.

    Args:
        config: a checked configuration.

    Returns:
        The comparison; None if the configuration claims no published settings.

    Raises:
        CCAFLError: the published file could not be loaded.
    """
    name = config.ccafl.published_settings
    if not name:
        return None
    file = config_file(name)
    theirs = load_config(file)
    published = dict(setting_leaves(theirs))
    differences = [
        f"{key} {_shown(value)} instead of {_shown(published[key])}"
        for key, value in setting_leaves(config)
        if value != published[key] and key not in LEFT_OPEN
    ]
    precision = PRECISIONS[theirs.ccafl.precision if theirs.ccafl.amp else "fp32"]
    return Comparison(published_by(file) or name, precision_name(precision), differences)


def _shown(value: Any) -> str:
    return "nothing" if value == "" else str(value)
