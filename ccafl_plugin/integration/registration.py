"""Adds the plugin's names to torchreid: everything is looked up and checked first, everything is written last."""

from __future__ import annotations

from ccafl_plugin.integration import builders, data_manager, evaluation, images
from ccafl_plugin.integration.changes import Change, apply_all, new_attribute, set_attribute
from ccafl_plugin.integration.torchreid_layout import attribute, require_attributes, torchreid_module, torchreid_package

MARK = "_ccafl_plugin_is_registered"
ENGINE_METHODS = (
    "run",
    "train",
    "forward_backward",
    "test",
    "_evaluate",
    "two_stepped_transfer_learning",
    "register_model",
    "save_model",
    "update_lr",
    "get_current_lr",
)


def register() -> None:
    """Adds the plugin's models, samplers, transforms, schedulers, datasets, engine and losses to torchreid.

    ``import ccafl_plugin`` calls it. Calling it again does nothing. torchreid's own names go on to give what they gave,
    its evaluation faster (``options.fast_evaluation``).
    Functions that a program imported from torchreid *by name* before it imported ``ccafl_plugin`` stay as they were.

    Raises:
        CCAFLError: torchreid isn't as the plugin expects it, or one of the names is taken; nothing is changed then.
    """
    package = torchreid_package()
    if hasattr(package, MARK):
        return
    changes = [
        *builders.model_changes(),
        *builders.sampler_changes(),
        *builders.optimizer_changes(),
        *builders.scheduler_changes(),
        *images.transform_changes(),
        *images.reading_changes(),
        *images.extractor_changes(),
        *data_manager.dataset_changes(),
        *data_manager.manager_changes(),
        *evaluation.evaluation_changes(),
        *engine_and_loss_changes(),
        set_attribute(package, MARK, True),
    ]
    apply_all(changes)


def engine_and_loss_changes() -> list[Change]:
    """``torchreid.engine.ImageCCAFLEngine``, ``torchreid.losses.ICDLLoss`` and ``ICALLoss``."""
    require_attributes(attribute("engine", "Engine", type), *ENGINE_METHODS)
    for name in ("CrossEntropyLoss", "TripletLoss"):
        attribute("losses", name, type)
    # Not at the top: it subclasses torchreid's Engine when it is imported.
    from ccafl_plugin.engine import ImageCCAFLEngine
    from ccafl_plugin.losses import ICALLoss, ICDLLoss

    losses = torchreid_module("losses")
    return [
        new_attribute(torchreid_module("engine"), "ImageCCAFLEngine", ImageCCAFLEngine),
        new_attribute(losses, "ICDLLoss", ICDLLoss),
        new_attribute(losses, "ICALLoss", ICALLoss),
    ]
