"""Adds the plugin's engine and losses to torchreid's modules."""

from __future__ import annotations

from ccafl_plugin.integration.changes import Change, new_attribute
from ccafl_plugin.integration.torchreid_layout import attribute, require_attributes, torchreid_module

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


def engine_changes() -> list[Change]:
    """``torchreid.engine.ImageCCAFLEngine``."""
    require_attributes(attribute("engine", "Engine", type), *ENGINE_METHODS)
    # Not imported at the top, because the module subclasses torchreid's Engine.
    from ccafl_plugin.engine import ImageCCAFLEngine

    return [new_attribute(torchreid_module("engine"), "ImageCCAFLEngine", ImageCCAFLEngine)]


def loss_changes() -> list[Change]:
    """``torchreid.losses.ICDLLoss`` and ``ICALLoss``."""
    for name in ("CrossEntropyLoss", "TripletLoss"):
        attribute("losses", name, type)
    from ccafl_plugin.losses import ICALLoss, ICDLLoss

    losses = torchreid_module("losses")
    return [new_attribute(losses, "ICDLLoss", ICDLLoss), new_attribute(losses, "ICALLoss", ICALLoss)]
