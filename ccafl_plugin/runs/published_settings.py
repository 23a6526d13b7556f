"""Where a configuration leaves the published settings that it says it is.

A file whose values are published says so by its key ``published``, which names the source. Loading it sets
``ccafl.published_settings`` to the file. Whatever changes a value afterwards, from the command line or in a suite, is a
difference to that file. A file that is only based on a published one claims nothing.
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
    "ccafl.compile",
    "ccafl.fast_evaluation",
    "ccafl.camera_probe",
    # What really runs is compared instead.
    "use_gpu",
    "ccafl.amp",
    "ccafl.precision",
)
"""Settings that a run may change and still keep to the published ones."""


class Comparison(NamedTuple):
    """A configuration beside the published one."""

    source: str
    precision: str  # of the published one, on a GPU
    differences: list[str]


def compare_with_published(config: CfgNode) -> Comparison | None:
    """The settings that differ from those of ``ccafl.published_settings``, in the order of the tree.

    Args:
        config: a checked configuration.

    Returns:
        None if the configuration claims none.

    Raises:
        CCAFLError: the published file can't be loaded.
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
