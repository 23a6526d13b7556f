"""Tensors by name in what a file holds, and which of them fit a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError

BELOW = ("state_dict", "model")
"""Keys below which programs put a model's tensors."""
MASKS = "attn_mask"
"""CLIP's causal mask, which some files hold beside the weights; it is infinite on purpose."""
PARALLEL = "module"
"""The name that ``nn.DataParallel`` puts around what it wraps."""


def tensors_of(content: Any, source: object, key: str, empty: bool = False) -> dict[str, Tensor]:
    """A model's tensors by name.

    Args:
        content: what a file holds: the tensors, or a dict with them below one of ``BELOW``.
        source: the file's name, for messages.
        key: the setting or argument that errors name.
        empty: whether there may be none: a part of a run may have no weights.

    Returns:
        The tensors under the names in the file.

    Raises:
        CCAFLError: there are none, something else is among them, or one holds a number that is not finite; what was
            found is named.
    """
    where, found = "it", content
    for name in BELOW:
        if isinstance(content, Mapping) and name in content:
            where, found = f"its {name!r}", content[name]
            break
    fault = "" if empty and found == {} else _fault(found)
    if fault:
        raise CCAFLError(
            f"{key}: {str(source)!r} is no file of weights: {where} {fault}; expected are tensors by name."
        )
    refuse_not_finite(found, source, key)
    return dict(found)


def refuse_not_finite(tensors: Mapping[str, Tensor], source: object, key: str) -> None:
    """Refuses weights with an infinite or NaN number: every feature that they give would be NaN.

    Args:
        tensors: by name.
        source: the file's name, for messages.
        key: the setting or argument that errors name.

    Raises:
        CCAFLError: there is one; the tensor is named.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not name.endswith(MASKS) and not bool(torch.isfinite(tensor).all()):
            raise CCAFLError(
                f"{key}: {str(source)!r} is of no use: its tensor {name!r} holds numbers that are infinite or NaN. "
                "Name a checkpoint from before the run diverged."
            )


def _fault(found: Any) -> str:
    """What is wrong with something that should be tensors by name."""
    if not isinstance(found, Mapping):
        return f"is {_kind(found)}"
    if not found:
        return "is empty"
    strange = next((name for name in found if not isinstance(name, str)), None)
    if strange is not None:
        return f"has the key {strange!r}, which is no name"
    if not any(isinstance(value, Tensor) for value in found.values()):
        shown = ", ".join(repr(name) for name in list(found)[:4])
        return f"holds no tensor under its names ({shown})"
    name, value = next(((name, value) for name, value in found.items() if not isinstance(value, Tensor)), ("", None))
    return f"has {_kind(value)} under {name!r}" if name else ""


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def like_own_names(state: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """The tensors under names without what ``nn.DataParallel`` put into them, wherever it was wrapped around a part.

    Args:
        state: tensors of a file.
        own: names of the model's tensors; a name that is among them stays.
    """
    known = set(own)
    return {name if name in known else without_parallel(name): value for name, value in state.items()}


def without_parallel(name: str) -> str:
    """``encoder.module.weight`` -> ``encoder.weight``."""
    return ".".join(part for part in name.split(".") if part != PARALLEL)


def is_of_classifier(name: str) -> bool:
    """Whether a tensor is of a classifier, whose size is that of the training set: hacnn has two, PCB six."""
    return name.partition(".")[0].startswith("classifier")


def is_optional(name: str) -> bool:
    """Whether a file may lack a tensor, or have one more: torch before 0.4.1 did not count a batch norm's batches.

    ``is_gelu`` says with which activation a model of this package was trained; loading takes it over.
    """
    return name.endswith(("num_batches_tracked", "image_encoder.is_gelu"))
