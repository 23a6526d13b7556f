"""What an extractor takes as images: paths, folders, PIL images, arrays, and lists of these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.data.own_folder import ENDINGS, image_files
from ccafl_plugin.utils.errors import CCAFLError

OneImage: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8]"
Images: TypeAlias = "OneImage | Sequence[OneImage]"


def images_of(folder: str | os.PathLike[str]) -> list[Path]:
    """The images in a folder and in all folders below it, sorted by path; hidden ones are left out.

    Raises:
        CCAFLError: it is no folder, or holds no image.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise CCAFLError(f"images: {str(folder)!r} is no folder.")
    found = [root / name for name in sorted(image_files(root))]
    if not found:
        raise CCAFLError(f"images: {str(folder)!r} holds no image ({', '.join(ENDINGS)}), nor does a folder below it.")
    return found


def listed(images: Images) -> list[OneImage]:
    """The single images of whatever was given; a folder gives those of :func:`images_of`.

    Args:
        images: one image, a list of them, (n, H, W, 3) uint8, or a folder. Folders may stand in a list too.
    """
    if isinstance(images, np.ndarray) and images.ndim == 4:
        images = list(images)
    if isinstance(images, (list, tuple)):
        return [image for each in images for image in listed(each)]
    if isinstance(images, (str, os.PathLike)) and os.path.isdir(os.path.expanduser(images)):
        return list(images_of(images))
    return [images]  # type: ignore[list-item]


def as_rgb(image: Any, bgr: bool = False) -> Image.Image:
    """One image in RGB.

    Args:
        image: a path, a PIL image, or (H, W, 3) uint8.
        bgr: whether an array has blue first, as OpenCV reads files. Paths and PIL images have an order of their own.

    Raises:
        CCAFLError: it can't be read, or is something else.
    """
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, (str, os.PathLike)):
        return read_image(os.path.expanduser(image))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise CCAFLError(
                f"images: an array of {image.dtype} and shape {image.shape} is no image; give height x width x 3 of "
                "uint8, red first."
            )
        return Image.fromarray(np.ascontiguousarray(image[:, :, ::-1] if bgr else image))
    raise CCAFLError(
        f"images: a {type(image).__name__} is no image; give a path, a PIL image, or an array of height x width x 3."
    )
