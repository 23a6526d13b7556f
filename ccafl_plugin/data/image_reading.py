"""How images are read: an end to broken files, and images from memory in the place of files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from PIL import Image
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError

_served: Mapping[str, Tensor] = {}


@contextmanager
def served(images: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, :func:`read_image` gives these images in the place of files.

    Data workers that are forked inside see them without a copy; workers that are started otherwise read files.

    Args:
        images: (3, H, W) uint8 each, by path.
    """
    global _served
    before, _served = _served, images
    try:
        yield
    finally:
        _served = before


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """Reads an image, to take the place of torchreid's ``read_image``, which tries a broken file again for ever.

    Args:
        path: of the file.

    Returns:
        PIL image in RGB: the file's content, or what is served in its place.

    Raises:
        CCAFLError: the file is missing, cut off, or no image; it is named.
    """
    if (kept := _served.get(os.fspath(path))) is not None:
        return Image.fromarray(kept.permute(1, 2, 0).contiguous().numpy())
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    # Pillow reports broken files by errors of many kinds: OSError, SyntaxError (PNG), ValueError, bombs.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else _one_line(error)
        raise CCAFLError(f"{path} can't be read as an image: {reason}. Replace or remove the file.") from error


def start_worker(worker: int) -> None:
    """``worker_init_fn`` of data loaders: a worker that is not forked imports this package to find it.

    So such a worker reads by :func:`read_image`, too.
    """


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
