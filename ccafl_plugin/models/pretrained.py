"""CLIP weights: where they come from, how a file is read, and what is checked before a model takes them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from ccafl_plugin.models.activation import GELU_KEY, activation_for, set_activation
from ccafl_plugin.models.checkpoint_file import read_file
from ccafl_plugin.models.positions import GRID_KEY, Grid, infer_grid
from ccafl_plugin.models.state_dicts import tensors_of, without_parallel
from ccafl_plugin.models.token_rows import restore_rows
from ccafl_plugin.utils.downloads import fetch
from ccafl_plugin.utils.errors import CCAFLError

WEIGHTS_KEY = "ccafl.clip_weights"
WITHOUT_WEIGHTS = "set model.pretrained False for random weights"
PACKAGE_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""Folder of weights that come with the package, ``NAME.safetensors``."""

POSITION_KEYS = ("visual.attnpool.positional_embedding", "visual.positional_embedding")
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", GRID_KEY, GELU_KEY)
"""Entries that are not tensors of the model: numbers in OpenAI's archives, and the grid in our own files."""
NOT_NEEDED = ("logit_scale", "num_batches_tracked")
"""Tensors of CLIP that no feature depends on."""


def load_pretrained(
    clip: nn.Module, name: str, grid: Grid, openai_name: str | None = None, weights: str = "", activation: str = ""
) -> Grid:
    """Loads pretrained weights of the text and image encoder into ``clip``, from one file, in float32.

    Args:
        clip: an ``open_clip.CLIP``, changed in place.
        name: the model's name, for messages and for weights that come with the package.
        grid: (h, w) of the positional embeddings in ``clip``.
        openai_name: open_clip's name of the model that OpenAI's weights are for; None if there are none.
        weights: a local file; empty: the package's own weights, else OpenAI's.
        activation: ``quick_gelu`` or ``gelu``, with which the weights were trained; empty: the file has to say it.

    Returns:
        (h, w) of the loaded positional embeddings.

    Raises:
        CCAFLError: the weights could not be downloaded or read, or do not match the model.
    """
    if weights:
        path = Path(weights).expanduser()
    elif (PACKAGE_WEIGHTS / f"{name}.safetensors").is_file():
        path = PACKAGE_WEIGHTS / f"{name}.safetensors"
    elif openai_name:
        path = download(name, openai_name)
    else:
        raise CCAFLError(
            f"model.pretrained: there are no pretrained weights for {name}. Set {WEIGHTS_KEY} to a file, or "
            f"{WITHOUT_WEIGHTS}."
        )
    state, said = read_weights(path)
    set_activation(clip, activation_for(state, said, activation, of_own=openai_name is None, source=path))
    return fill(clip, state, name, path, grid)


def download(name: str, openai_name: str) -> Path:
    """Gets OpenAI's archive from the place where open_clip keeps it (``~/.cache/clip``), or from the network.

    Raises:
        CCAFLError: there is no network, or the downloaded file is not the expected one.
    """
    import open_clip

    # The file is the same with and without QuickGELU; older versions list it under the plain name only.
    url = open_clip.get_pretrained_url(openai_name.removesuffix("-quickgelu"), "openai")
    file = Path("~/.cache/clip").expanduser() / os.path.basename(url)
    what = f"model.pretrained: OpenAI's weights for {name}"
    otherwise = f"set {WEIGHTS_KEY} to the file wherever it is, or {WITHOUT_WEIGHTS}"
    return fetch(url, file, what, otherwise, sha256=url.split("/")[-2])


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """All tensors of a file: OpenAI's TorchScript archive, a saved state dict, or safetensors.

    A state dict may sit below the key ``state_dict`` or ``model``, and its names may hold ``module.``; open_clip's
    other layout (text encoder below ``text.``) is understood, and files that hold the embeddings of some tokens only
    (``token_rows``). Nothing in a file is run.

    Returns:
        The tensors by name, and the activation if the file says it.

    Raises:
        CCAFLError: the file does not exist, has none of these formats, or is damaged.
    """
    if not path.exists():
        raise CCAFLError(f"{WEIGHTS_KEY}: there is no file {path}. Name an existing one, or {WITHOUT_WEIGHTS}.")
    contents = read_file(path, WEIGHTS_KEY)
    found = tensors_of(contents.value, path, WEIGHTS_KEY)
    state = {without_parallel(key): value for key, value in found.items()}
    if "text.token_embedding.weight" in state:
        state = {key.removeprefix("text."): value for key, value in state.items()}
    return restore_rows(state, path), contents.activation


def fill(clip: nn.Module, state: dict[str, Tensor], name: str, source: Path, grid: Grid) -> Grid:
    """Copies ``state`` into ``clip`` and prints how many tensors matched. All tensors that features need must match.

    Arguments and result as in :func:`load_pretrained`.

    Raises:
        CCAFLError: a tensor is missing or has another shape; the message names the first such tensor.
    """
    own = clip.state_dict()
    needed = [key for key in own if not key.endswith(NOT_NEEDED)]
    usable = {key: state[key] for key in own if key in state and _fits(key, state[key], own[key])}
    if not any(key in state for key in needed):
        first = next(iter(state), "nothing")
        raise CCAFLError(
            f"{WEIGHTS_KEY}: {source} has none of the {len(needed)} tensors of {name} (its first tensor is {first!r}). "
            "Name a file of CLIP weights with OpenAI's or open_clip's tensor names."
        )
    missing = [key for key in needed if key not in usable]
    if missing:
        first = missing[0]
        fault = f"has shape {tuple(state[first].shape)}" if first in state else "is missing"
        raise CCAFLError(
            f"{WEIGHTS_KEY}: {source} does not match {name}: {first!r} {fault}, expected {tuple(own[first].shape)} "
            f"({len(needed) - len(missing)} of {len(needed)} tensors match)."
        )
    grid = _take_positions(clip, usable, state.get(GRID_KEY), grid)
    clip.load_state_dict(usable, strict=False)
    image = sum(key.startswith("visual.") for key in needed)
    text = len(needed) - image
    print(f"{name}: {image} of {image} image tensors and {text} of {text} text tensors loaded from {source}")
    left_over = sorted(key for key in state if key not in own and key not in NOT_WEIGHTS)
    if left_over:
        print(f"{name}: {len(left_over)} tensors in {source} were not used: {', '.join(left_over)}")
    return grid


def _fits(key: str, value: Tensor, own: Tensor) -> bool:
    """True if the shapes match. The number of image positions may differ, since they are interpolated."""
    if key in POSITION_KEYS:
        return value.ndim == 2 and value.shape[1] == own.shape[1] and len(value) > 1
    return value.shape == own.shape


def _take_positions(clip: nn.Module, weights: dict[str, Tensor], stored: Tensor | None, grid: Grid) -> Grid:
    """Resizes the image encoder's positional embeddings to the number in the file; returns their grid."""
    key = next(key for key in POSITION_KEYS if key in weights)
    clip.get_parameter(key).data = torch.empty_like(weights[key], dtype=torch.float32)
    return infer_grid(len(weights[key]), grid, None if stored is None else tuple(stored.tolist()))
