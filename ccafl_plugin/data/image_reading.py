"""Reads images: errors for broken files, and images from memory instead of files."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ccafl_plugin.data.picture_values import eight_bit_rgb, upright
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.file_kinds import not_a_file

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What is read, told by the content whatever a file is called. Pillow knows 40 more, and for one, EPS, starts another
program, Ghostscript."""

_served: Mapping[str, Tensor] = {}


@contextmanager
def served(images: Mapping[str, Tensor]) -> Iterator[None]:
    """Context in which :func:`read_image` returns these images instead of reading files.

    Data workers that are forked inside the context share the images without a copy; other workers read files.

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
        PIL image in RGB, 8 bits a channel: the file's content, turned as its EXIF data say, or what is served in its
        place. Grey values of 16 bits and floats are converted by their range
        (:func:`~ccafl_plugin.data.picture_values.eight_bit_rgb`).

    Raises:
        CCAFLError: the file is missing, cut off, no image of ``FORMATS``, or no ordinary file; it is named.
    """
    if (kept := _served.get(os.fspath(path))) is not None:
        return Image.fromarray(kept.permute(1, 2, 0).contiguous().numpy())
    if (kind := not_a_file(path)) is not None:  # a pipe would be waited for
        raise CCAFLError(f"{path} can't be read as an image: {kind}. Replace or remove the file.")
    try:
        with Image.open(path, formats=formats()) as image:
            return eight_bit_rgb(upright(image))
    except UnidentifiedImageError as error:
        kinds = ", ".join(formats())
        raise CCAFLError(
            f"{path} can't be read as an image: its content is none of {kinds}. Replace or remove the file."
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files, struct.error and KeyError among them
        raise CCAFLError(
            f"{path} can't be read as an image: {_one_line(error)}. Replace or remove the file."
        ) from error


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def start_worker(worker: int) -> None:
    """``worker_init_fn`` of data loaders. It makes a worker that is not forked import this package.

    So such a worker uses :func:`read_image` too.
    """


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
