"""Writes the small weight file that comes with the package, and reads its metadata."""

from __future__ import annotations

from pathlib import Path

import torch

from ccafl_plugin.models.clip import ClipReID, clip_state_dict
from ccafl_plugin.models.token_rows import keep_rows
from ccafl_plugin.synthetic.pretraining.captions import vocabulary
from ccafl_plugin.synthetic.pretraining.contrastive_training import tokenize
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_whole

LICENCE = "MIT"
"""Licence of the weights; the same as the package's."""


def described_data(persons: int, pictures: int, cameras: int, size: tuple[int, int], renderer: int) -> str:
    """Describes the training data of a model in one sentence.

    Args:
        persons: number of rendered people.
        pictures: number of pictures of each person.
        cameras: number of cameras.
        size: (height, width) of a picture in pixels.
        renderer: version of the renderer.
    """
    return (
        f"{persons * pictures} pictures of {size[0]} x {size[1]} pixels of {persons} rendered people by {cameras} "
        f"random cameras, with captions, all made by ccafl_plugin.synthetic (renderer {renderer}). "
        "No photograph, no real person."
    )


def save_weights(model: ClipReID, path: Path, metadata: dict[str, str]) -> None:
    """Writes the CLIP of a model as safetensors, for ``pretrained=True``.

    Matrices are in half precision, and only the token embeddings of words in captions are stored. Vectors stay in
    float32: they are few, and a batch norm's variances may be too small for half precision.

    Args:
        model: the model whose CLIP is written.
        path: the file; its folder is created if needed.
        metadata: entries of the safetensors header, such as ``command``, ``seed`` and ``data``; ``licence`` is added.

    Raises:
        CCAFLError: the file could not be written, or a tensor is not finite; what was there is untouched.
    """
    from safetensors.torch import save_file

    state = keep_rows(clip_state_dict(model), torch.unique(tokenize(vocabulary())))
    state = {key: _small(value).contiguous().clone() for key, value in state.items()}
    broken = next((key for key, value in state.items() if not value.float().isfinite().all()), None)
    if broken is not None:
        raise CCAFLError(f"{path} is not written: {broken!r} holds numbers that are not finite. Train again.")
    try:
        write_whole(path, lambda partial: save_file(state, partial, {"licence": LICENCE, **metadata}))
    except OSError as error:
        raise CCAFLError(f"could not write {path}: {error.strerror or error}.") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file that :func:`save_weights` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _small(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() and value.ndim > 1 else value
