"""What may stand in the place of a file of weights: a run's folder, or the name of weights that come with the package.

The package's weights are CLIP's alone, in CLIP's names and in half precision. Here they get the neck of an untrained
model and a description, so that everything that takes described weights takes them.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
from pathlib import Path

import torch

from ccafl_plugin.models.checkpoint_file import read_file
from ccafl_plugin.models.clip import build_clip
from ccafl_plugin.models.described_model import activation_in, feature_dims
from ccafl_plugin.models.pretrained import PACKAGE_WEIGHTS
from ccafl_plugin.models.weights_description import FILE, NOT_SAID, DescribedWeights, WeightsDescription, read
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError

SHIPPED: dict[str, tuple[int, int]] = {"clip_tiny": (96, 48)}
"""Weights that come with the package: model -> (height, width) of the pictures that they were trained on."""


def file_of_weights(weights: str | os.PathLike[str]) -> Path:
    """The file that somebody means.

    Args:
        weights: a file, a run's folder, whose ``weights.safetensors`` is taken, or a name in :data:`SHIPPED`. A file or
            a folder comes before a name.

    Returns:
        The file; it may not be there.

    Raises:
        CCAFLError: it is not there, and nearly a name.
    """
    path = Path(weights).expanduser()
    if path.is_dir():
        return path / FILE
    name = os.fspath(weights)
    if os.path.lexists(path):
        return path
    if name in SHIPPED:
        return PACKAGE_WEIGHTS / f"{name}.safetensors"
    if near := difflib.get_close_matches(name, SHIPPED, n=1, cutoff=0.7):
        raise CCAFLError(
            f"weights: can't read {name!r}: it does not exist. Did you mean {near[0]!r}, which comes with the package?"
        )
    return path


def folder_beside(weights: str | os.PathLike[str]) -> Path:
    """Where something is written that belongs to weights: beside the file, or the current folder for a name."""
    file = file_of_weights(weights)
    return Path() if is_shipped(file) else file.parent


def is_shipped(file: str | os.PathLike[str]) -> bool:
    """Whether a file is one of the package's own."""
    path = Path(file).expanduser()
    return path.stem in SHIPPED and path.parent.resolve() == PACKAGE_WEIGHTS.resolve()


def read_weights_file(file: Path, key: str = "weights") -> DescribedWeights:
    """All that a file holds that describes itself or is one of the package's own, on the CPU.

    Args:
        file: of :func:`file_of_weights`.
        key: the setting or argument that errors name.

    Raises:
        CCAFLError: the file can't be read, or is neither.
    """
    return _shipped(file) if is_shipped(file) else read(file, key)


def _shipped(file: Path) -> DescribedWeights:
    """The package's weights with an untrained neck, and CLIP's text encoder."""
    name, said = file.stem, read_file(file, "weights").metadata
    height, width = SHIPPED[name]
    with (
        torch.random.fork_rng([]),
        options.override(input_size=(height, width), clip_activation="", clip_weights=""),
        contextlib.redirect_stdout(io.StringIO()),  # which says what was loaded from where, as in a training
    ):
        model = build_clip(name, 1, "ccafl", pretrained=True).eval()
    description = WeightsDescription(
        model=name,
        height=height,
        width=width,
        feature_dim=feature_dims(model)["retrieval"],
        activation=activation_in(model),
        embedding_dim=model.embedding_dim,
        trained_on=said.get("data", NOT_SAID),
        licence=said.get("licence", NOT_SAID),
        version=said.get("version", NOT_SAID),
    )
    return DescribedWeights(description, model.state_dict(), model.text_encoder.state_dict(), None)
