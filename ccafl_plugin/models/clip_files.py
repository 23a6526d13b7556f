"""CLIP's own files, OpenAI's and open_clip's: which of open_clip's architectures they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ccafl_plugin.models.open_clip_models import PREFIX
from ccafl_plugin.utils.errors import CCAFLError


def is_clip_file(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors are those of a whole CLIP, in OpenAI's or open_clip's naming."""
    return "token_embedding.weight" in state and any(name.startswith("visual.") for name in state)


def architecture_of(state: Mapping[str, Tensor], quick_gelu: bool, source: object) -> str:
    """The model's name, ``open_clip/...``, by the shapes of its tensors.

    Args:
        state: the tensors.
        quick_gelu: with which activation it was trained: open_clip has two names.
        source: the file's name, for messages.

    Raises:
        CCAFLError: none of open_clip's architectures fits, or they come from timm, whose layers have no common names.
    """
    import open_clip

    found = _signature(state)
    fitting = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        if found is not None and _signature_of_config(config) == found and "multimodal_cfg" not in config:
            fitting.append((bool(config.get("quick_gelu")) != quick_gelu, len(name), name))
    if not fitting or min(fitting)[0]:
        raise CCAFLError(f"{source}: it is a CLIP, but not of which architecture is told: --model {PREFIX}NAME.")
    return PREFIX + min(fitting)[2]


def _signature(state: Mapping[str, Tensor]) -> tuple[Any, ...] | None:
    """Numbers by which architectures differ; None for encoders from timm."""
    text = (len(state["ln_final.weight"]), len(state["token_embedding.weight"]), len(state["positional_embedding"]))
    if "text_projection" not in state:
        return None
    embedding = state["text_projection"].shape[1]
    if "visual.attnpool.positional_embedding" in state:
        layers = tuple(_count(state, f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
        positions = len(state["visual.attnpool.positional_embedding"]) - 1
        return "resnet", len(state["visual.conv1.weight"]) * 2, layers, positions, embedding, text
    if "visual.class_embedding" in state:
        width, _, patch, _ = state["visual.conv1.weight"].shape
        positions = len(state["visual.positional_embedding"]) - 1
        return "vit", width, _count(state, "visual.transformer.resblocks."), patch, positions, embedding, text
    return None


def _signature_of_config(config: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The same numbers, of one of open_clip's configurations."""
    vision, words = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision or "width" not in words or isinstance(vision.get("image_size", 224), list):
        return None
    text = (words["width"], words.get("vocab_size", 49408), words.get("context_length", 77))
    size, embedding = vision.get("image_size", 224), config["embed_dim"]
    layers, width = vision.get("layers", 12), vision.get("width", 768)
    if isinstance(layers, list):
        return "resnet", width, tuple(layers), (size // 32) ** 2, embedding, text
    patch = vision.get("patch_size", 16)
    return "vit", width, layers, patch, (size // patch) ** 2, embedding, text


def _count(state: Mapping[str, Tensor], beginning: str) -> int:
    return len({name[len(beginning) :].partition(".")[0] for name in state if name.startswith(beginning)})
