"""The activation of CLIP's transformers: a file's tensors fit both, its features come out right with one only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ccafl_plugin.models.positions import GRID_KEY
from ccafl_plugin.utils.errors import CCAFLError, unknown_name

ACTIVATIONS = ("quick_gelu", "gelu")
GELU_KEY = "visual.is_gelu"
"""Tensor by which a state dict of this package says that its model was trained with GELU; QuickGELU says nothing."""


def activation_of(clip: nn.Module) -> str:
    """``quick_gelu`` or ``gelu``, or the names of the classes if they are something else or several.

    Args:
        clip: an ``open_clip.CLIP`` or a part of it.
    """
    kinds = {type(module).__name__ for key, module in clip.named_modules() if key.endswith("mlp.gelu")}
    names = {"QuickGELU": "quick_gelu", "GELU": "gelu"}
    return ", ".join(sorted(names.get(kind, kind) for kind in kinds))


def set_activation(clip: nn.Module, activation: str) -> None:
    """Makes all transformers in ``clip`` compute with this activation.

    Raises:
        CCAFLError: no such activation, or there is no transformer where this version of open_clip should have one.
    """
    from open_clip.transformer import QuickGELU

    if activation not in ACTIVATIONS:
        raise unknown_name("clip_activation", activation, ACTIVATIONS)
    kind = QuickGELU if activation == "quick_gelu" else nn.GELU
    blocks: list[Any] = [module for key, module in clip.named_modules() if key.endswith("mlp")]
    for block in blocks:
        if hasattr(block, "gelu"):
            block.gelu = kind()
    if activation_of(clip) != activation:
        found = activation_of(clip) or "none"
        raise CCAFLError(f"open_clip built CLIP without {activation} (found: {found}). Install another version.")


def activation_for(
    state: Mapping[str, Tensor], said: str, asked: str, of_own: bool, source: object, key: str = "ccafl.clip_weights"
) -> str:
    """Which activation a file of weights needs.

    Args:
        state: its tensors.
        said: what the file says elsewhere, or empty.
        asked: ``clip_activation``, or empty.
        of_own: whether the model is one that only this package trains, always with QuickGELU.
        source: the file's name, for messages.
        key: the setting that names the file.

    Raises:
        CCAFLError: nobody says it, or the file and the setting say different things.
    """
    if not said and GRID_KEY in state:  # written by this package
        said = "gelu" if GELU_KEY in state else "quick_gelu"
    if said and said not in ACTIVATIONS:
        raise CCAFLError(f"{key}: {source} was trained with the activation {said!r}; only CLIPs with (Quick)GELU fit.")
    if said and asked and said != asked:
        raise CCAFLError(f"ccafl.clip_activation: {source} was trained with {said}; leave the setting empty or say so.")
    if said or asked or of_own:
        return said or asked or "quick_gelu"
    raise CCAFLError(
        f"{key}: {source} does not say with which activation it was trained, and its features are wrong with another; "
        "set ccafl.clip_activation quick_gelu (as OpenAI, MetaCLIP and DFN) or gelu (as LAION and DataComp)."
    )
