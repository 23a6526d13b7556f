"""Which of a track's boxes become images: large enough, not hidden behind others, spread over the track, sharp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.data.image_records import Box

SHARPNESS_SIZE = (64, 128)
"""Width and height that images are brought to before their sharpness is compared."""

T = TypeVar("T")


def clipped(box: Box, width: int, height: int, padding: float = 0.0) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box in whole pixels of a picture, padded and cut off at its edges.

    Args:
        box: left, top, width, height; right and bottom are rounded as left and top are.
        width, height: of the picture.
        padding: share of the box's size added on each side.

    Returns:
        The part of the picture; right <= left or bottom <= top if nothing of the box lies in it.
    """
    x, y, w, h = box
    edges = (x - padding * w, y - padding * h, x + w + padding * w, y + h + padding * h)
    left, top, right, bottom = (int(np.floor(edge + 0.5)) for edge in edges)
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def covered_shares(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the largest share of each box of one frame that one other box covers.

    Args:
        boxes: (n, 4) left, top, width, height, widths and heights above 0.
    """
    low, size = boxes[:, :2], boxes[:, 2:]
    high = low + size
    common = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    area = np.clip(common, 0, None).prod(axis=2) / size.prod(axis=1)[:, None]
    np.fill_diagonal(area, 0)
    return area.max(axis=1, initial=0)


def spread(items: Sequence[T], count: int) -> list[T]:
    """``count`` of the items from the first to the last, in equal steps; all if there are fewer or ``count`` is 0."""
    if count == 0 or len(items) <= count:
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def sharpness(picture: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the picture in grey at :data:`SHARPNESS_SIZE`; low where it is blurred.

    Args:
        picture: (H, W, 3) RGB.
    """
    import cv2

    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), SHARPNESS_SIZE, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def sharp_enough(values: Sequence[float], share: float) -> list[bool]:
    """Whether each image of a track is at least ``share`` times as sharp as the median of the track."""
    least = share * float(np.median(values)) if values else 0.0
    return [value >= least for value in values]
