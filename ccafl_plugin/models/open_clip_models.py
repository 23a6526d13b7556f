"""Any encoder of open_clip by name (``open_clip/ViT-L-14``, ``open_clip/ViT-B-16-SigLIP2``), as open_clip builds it.

Everything goes through open_clip's public interface: its list of models, ``create_model``, its tokenizers, and what it
says of published weights.
"""

from __future__ import annotations

import difflib
import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ccafl_plugin.models.activation import activation_of
from ccafl_plugin.models.image_tower import ImageTower
from ccafl_plugin.models.pretrained import NOT_NEEDED, WEIGHTS_KEY, WITHOUT_WEIGHTS, download, read_weights
from ccafl_plugin.models.prompts import TextEncoder, WholeTextEncoder
from ccafl_plugin.models.timm_tower import TimmTower, native_grid
from ccafl_plugin.models.towers import ResNetTower, ViTTower
from ccafl_plugin.utils.errors import CCAFLError

PREFIX = "open_clip/"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI's, and open_clip's where it says nothing else."""
WITHOUT_TEXT = "ccafl.terms.alignment.enabled False ccafl.terms.icdl.weight_alignment 0"
"""Settings with which no term compares images with text."""


class HalvingResNetTower(ResNetTower):
    """CLIP's ModifiedResNet as open_clip builds it, with stride 32."""

    keeps_resolution = False


def is_open_clip(name: str) -> bool:
    """Whether a model's name asks for an encoder of open_clip."""
    return name.startswith(PREFIX)


def architecture(name: str) -> str:
    """open_clip's name of a model, ``ViT-L-14`` for ``open_clip/ViT-L-14``.

    Raises:
        CCAFLError: open_clip knows none of this name (the nearest is named), or it can't be used here.
    """
    import open_clip

    known = open_clip.list_models()
    wanted = name.removeprefix(PREFIX)
    if wanted not in known:
        lower = {each.lower(): each for each in known}
        near = difflib.get_close_matches(wanted.lower(), lower, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(repr(PREFIX + lower[each]) for each in near)}?" if near else ""
        raise CCAFLError(
            f"model.name: {name!r} is not available.{hint} open_clip.list_models() lists all {len(known)}."
        )
    config = open_clip.get_model_config(wanted)
    if "multimodal_cfg" in config:
        raise CCAFLError(f"model.name: {name!r} writes captions (CoCa); this package has no use for it.")
    if config["text_cfg"].get("hf_model_name"):
        raise CCAFLError(
            f"model.name: {name!r} needs a text encoder of transformers, which is not built here. Use another."
        )
    return wanted


def takes_prompts(name: str) -> bool:
    """Whether the text encoder of ``open_clip/...`` can read learnable prompts: it is causal, with CLIP's own words.

    Raises:
        CCAFLError: as :func:`architecture`.
    """
    import open_clip

    text = open_clip.get_model_config(architecture(name))["text_cfg"]
    plain = not (text.get("no_causal_mask") or text.get("hf_tokenizer_name") or text.get("embed_cls"))
    return plain and text.get("pool_type", "argmax") == "argmax" and not text.get("proj_bias")


def preprocessing(name: str, tag: str = "") -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Mean, standard deviation and interpolation with which weights of an architecture were trained.

    Args:
        name: ``open_clip/...``.
        tag: of published weights; empty: the first that open_clip lists. Those of one architecture mostly agree.
    """
    import open_clip

    wanted = architecture(name)
    tags = open_clip.list_pretrained_tags_by_model(wanted)
    chosen = tag if tag in tags else next(iter(tags), "")
    found = (open_clip.get_pretrained_cfg(wanted, chosen) or {}) if chosen else {}
    mean, std = found.get("mean") or CLIP_MEAN, found.get("std") or CLIP_STD
    return tuple(mean), tuple(std), found.get("interpolation") or "bicubic"


def image_size(name: str) -> tuple[int, int]:
    """(height, width) in pixels of the images that an architecture was made for."""
    import open_clip

    size = open_clip.get_model_config(architecture(name))["vision_cfg"].get("image_size", 224)
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def build_parts(
    name: str, input_size: tuple[int, int], pretrained: bool, weights: str, activation: str
) -> tuple[ImageTower, nn.Module]:
    """The image tower and the text encoder of one of open_clip's models.

    Args:
        name: ``open_clip/...``.
        input_size: (height, width) of the images in pixels.
        pretrained: load weights.
        weights: a file of open_clip's, or a tag of published weights such as ``openai``; empty is an error that lists
            the tags.
        activation: ``clip_activation``; the name of an architecture says it already, so it must agree.

    Raises:
        CCAFLError: an unknown name, weights that can't be had or do not match, an input size too small.
    """
    import open_clip

    wanted = architecture(name)
    file = weights_file(name, weights) if pretrained else None
    clip: Any = _create(open_clip, wanted)
    own = activation_of(clip)
    if activation and own and activation != own:
        raise CCAFLError(
            f"ccafl.clip_activation: {name!r} computes with {own}, not {activation}; names of open_clip say it "
            "(-quickgelu). Leave the setting empty."
        )
    if file is not None:
        state, said = read_weights(file)
        if said and own and said != own:
            raise CCAFLError(
                f"model.name: {file} was trained with {said}, but {name!r} computes with {own}; names of open_clip "
                "say it (-quickgelu)."
            )
        fill(clip, state, name, file)
    return tower_of(clip, input_size), text_of(clip, name)


def _create(open_clip: Any, wanted: str) -> Any:
    """The model with random weights; that it has no others is no news here."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        return open_clip.create_model(wanted, pretrained=None)
    finally:
        root.setLevel(level)


def tower_of(clip: Any, input_size: tuple[int, int]) -> ImageTower:
    """The image tower of an open_clip model, which it takes over."""
    visual = clip.visual
    if hasattr(visual, "trunk"):
        return TimmTower(visual, native_grid(visual), input_size)
    if hasattr(visual, "attnpool"):
        height, width = (visual.image_size,) * 2 if isinstance(visual.image_size, int) else visual.image_size
        return HalvingResNetTower(visual, (height // 32, width // 32), input_size)
    return ViTTower(visual, tuple(visual.grid_size), input_size)


def text_of(clip: Any, name: str) -> nn.Module:
    """The text encoder: one that reads prompts, or one that reads whole texts only."""
    text = getattr(clip, "text", clip)
    if takes_prompts(name):
        return TextEncoder(text)
    return WholeTextEncoder(text, name.removeprefix(PREFIX))


def weights_file(name: str, weights: str) -> Path:
    """The file of weights that a setting names: a file, or a tag of published weights, which are fetched.

    Raises:
        CCAFLError: it is neither, or they can't be fetched.
    """
    import open_clip

    check_weights(name, weights)
    if Path(weights).expanduser().is_file():
        return Path(weights).expanduser()
    wanted = architecture(name)
    if weights == "openai":
        return download(name, wanted)
    try:
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(wanted, weights)))
    except Exception as error:  # the hub's client has many of its own
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CCAFLError(
            f"{WEIGHTS_KEY}: the weights {weights} of {wanted} can't be downloaded ({reason}). Fetch them by a way "
            f"that you trust and set it to the file, or {WITHOUT_WEIGHTS}."
        ) from error


def check_weights(name: str, weights: str) -> None:
    """Checks that weights are a file, or a tag of published weights of a model.

    Args:
        name: ``open_clip/...``.
        weights: the file or the tag.

    Raises:
        CCAFLError: they are neither; the tags are listed.
    """
    import open_clip

    wanted = architecture(name)
    tags = open_clip.list_pretrained_tags_by_model(wanted)
    if weights in tags or (weights and Path(weights).expanduser().is_file()):
        return
    listed = ", ".join(tags) or "none"
    what = f"{weights!r} is no file and no tag of {wanted}" if weights else f"no weights of {wanted} are named"
    raise CCAFLError(
        f"{WEIGHTS_KEY}: {what}. Set it to a file, or to one of open_clip's tags ({listed}), or {WITHOUT_WEIGHTS}."
    )


def fill(clip: nn.Module, state: dict[str, Tensor], name: str, source: Path) -> None:
    """Copies the tensors of a file into a model of open_clip; all that features need must match.

    Args:
        clip: changed in place.
        state: tensors in open_clip's naming, the text encoder's with or without ``text.``.
        name: of the model, for messages.
        source: the file, for messages.

    Raises:
        CCAFLError: a tensor is missing or has another shape.
    """
    own = clip.state_dict()
    found = {}
    for key in own:
        given = key if key in state else key.removeprefix("text.")
        if given in state:
            found[key] = state[given]
    needed = [key for key in own if not key.endswith((*NOT_NEEDED, "logit_bias"))]
    wrong = next((key for key in needed if key not in found or found[key].shape != own[key].shape), None)
    if wrong is not None:
        fault = f"has shape {tuple(found[wrong].shape)}" if wrong in found else "is missing"
        raise CCAFLError(
            f"{WEIGHTS_KEY}: {source} does not match {name}: {wrong!r} {fault}, expected {tuple(own[wrong].shape)}."
        )
    usable = {key: tensor for key, tensor in found.items() if tensor.shape == own[key].shape}
    clip.load_state_dict(usable, strict=False)
    used = {key if key in state else key.removeprefix("text.") for key in usable}
    left_over = sorted(set(state) - used)
    print(f"{name}: {len(usable)} tensors loaded from {source}")
    if left_over:
        print(f"{name}: {len(left_over)} tensors in {source} were not used: {', '.join(left_over[:20])}")
