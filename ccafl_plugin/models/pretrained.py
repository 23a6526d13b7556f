"""CLIP weights: where they come from, how a file is read, and what is checked before a model takes them."""

from __future__ import annotations

import contextlib
import socket
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ccafl_plugin.models.positions import GRID_KEY, Grid, infer_grid
from ccafl_plugin.models.token_rows import restore_rows
from ccafl_plugin.utils.errors import CCAFLError

WEIGHTS_KEY = "ccafl.clip_weights"
WITHOUT_WEIGHTS = "set model.pretrained False for random weights"
PACKAGE_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""Folder of weights that come with the package, ``NAME.safetensors``."""

POSITION_KEYS = ("visual.attnpool.positional_embedding", "visual.positional_embedding")
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", GRID_KEY)
"""Entries that are not tensors of the model: numbers in OpenAI's archives, and the grid in our own files."""
NOT_NEEDED = ("logit_scale", "num_batches_tracked")
"""Tensors of CLIP that no feature depends on."""


def load_pretrained(clip: nn.Module, name: str, grid: Grid, openai_name: str | None = None, weights: str = "") -> Grid:
    """Loads pretrained weights of the text and image encoder into ``clip``, from one file, in float32.

    Args:
        clip: an ``open_clip.CLIP``, changed in place.
        name: the model's name, for messages and for weights that come with the package.
        grid: (h, w) of the positional embeddings in ``clip``.
        openai_name: open_clip's name of the model that OpenAI's weights are for; None if there are none.
        weights: a local file; empty: the package's own weights, else OpenAI's through open_clip.

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
    return fill(clip, read_weights(path), name, path, grid)


def download(name: str, openai_name: str) -> Path:
    """Gets OpenAI's archive through open_clip, from its cache (``~/.cache/clip``) or from the network.

    Raises:
        CCAFLError: there is no network, or the downloaded file is not the expected one.
    """
    import open_clip

    # The file is the same with and without QuickGELU; older versions list it under the plain name only.
    url = open_clip.get_pretrained_url(openai_name.removesuffix("-quickgelu"), "openai")
    try:
        with _connection_timeout(30.0):
            return Path(open_clip.download_pretrained_from_url(url))
    except Exception as error:  # errors of the network, a proxy, the disk or the checksum
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CCAFLError(
            f"model.pretrained: could not download OpenAI's weights for {name} ({reason}). Download {url} and set "
            f"{WEIGHTS_KEY} to the file, or {WITHOUT_WEIGHTS}."
        ) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a file: OpenAI's TorchScript archive, a saved state dict, or safetensors.

    A state dict may be below the key ``state_dict``, and its names may begin with ``module.``. open_clip's other layout
    (text encoder below ``text.``) and files with the embeddings of some tokens only (``token_rows``) can be read too.
    Pickled Python code is rejected.

    Raises:
        CCAFLError: the file does not exist, has none of these formats, or is damaged.
    """
    if not path.is_file():
        raise CCAFLError(f"{WEIGHTS_KEY}: there is no file {path}. Name an existing file, or {WITHOUT_WEIGHTS}.")
    try:
        state = _read(path)
    except Exception as error:  # each format raises its own errors
        reason = str(error).strip().split("\n")[0][:120]
        raise CCAFLError(
            f"{WEIGHTS_KEY}: could not read {path} as a TorchScript archive, state dict or safetensors file ({reason})."
        ) from error
    state = {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}
    if "text.token_embedding.weight" in state:
        state = {key.removeprefix("text."): value for key, value in state.items()}
    return restore_rows(state, path)


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


def _read(path: Path) -> dict:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if _is_torchscript(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch deprecates TorchScript, but OpenAI's files use it
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
    state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}")
    return state


def _is_torchscript(path: Path) -> bool:
    """True for a TorchScript archive: a zip file like that of torch.save, with an additional file of constants."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(member.endswith("/constants.pkl") for member in archive.namelist())


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


@contextlib.contextmanager
def _connection_timeout(seconds: float) -> Iterator[None]:
    """Sets a timeout for open_clip's download, which has none and would wait for minutes behind a firewall."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
