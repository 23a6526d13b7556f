"""What a decoded picture looks like on a screen: more than 8 bits by their range, turned as its EXIF data say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIXTEEN_BITS = 2**16 - 1
INTEGER_RANGES = (255, SIXTEEN_BITS, 2**31 - 1)
FLOAT_RANGES = (1, 255, SIXTEEN_BITS)
"""Largest values of white; the smallest of them that holds a picture's values is taken."""

_ORIENTATION = 0x0112
_WITH_EXIF = {"exif", "Raw profile type exif"}
"""Entries of ``Image.info`` that can say how a picture is turned; a TIFF says it in its tags."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what undoes it."""


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF data say; most cameras store how they were held instead of turning pixels."""
    image.load()  # a PNG's EXIF data may be behind its pixels; Pillow turns some TIFFs while it reads them
    if image.format != "TIFF" and not _WITH_EXIF & image.info.keys():
        return image
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises many kinds; damaged EXIF data do not make the pixels unreadable
        return image
    return image if turn is None else image.transpose(turn)


def eight_bit_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB with 8 bits a channel; grey values of 16 bits, of whole numbers and floats by their range.

    Pillow's own conversion cuts everything above 255: it makes 99.6 % of a 16-bit picture white, and floats from 0 to 1
    black.

    Raises:
        ValueError: values below 0, above all known ranges, or not finite.
    """
    if image.mode.startswith("I;16"):
        return _grey(image, [SIXTEEN_BITS])
    if image.mode == "I":  # PNG and PGM in older versions of Pillow: 16 bits, whatever the largest value is
        return _grey(image, INTEGER_RANGES if image.format == "TIFF" else [SIXTEEN_BITS])
    if image.mode == "F":
        return _grey(image, FLOAT_RANGES)
    return image.convert("RGB")


def _grey(image: Image.Image, ranges: Sequence[int]) -> Image.Image:
    values: NDArray[Any] = np.asarray(image)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= ranges[-1]):  # NaN, too
        raise ValueError(f"its values go from {low:g} to {high:g}, not from 0 to one of {', '.join(map(str, ranges))}")
    white = next(largest for largest in ranges if high <= largest)
    return Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8)).convert("RGB")
