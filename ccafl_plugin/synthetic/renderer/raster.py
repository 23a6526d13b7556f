"""Draws tapered tubes with a painted surface on an RGB canvas, in whole numbers.

Coordinates are in sixteenths of a pixel, angles in degrees, sines in 1/4096. No float is rounded, so a drawing has the
same pixels on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isqrt

import numpy as np

UNIT = 16
"""Steps of a coordinate per pixel."""

_QUADRANT = (
    0, 71, 143, 214, 286, 357, 428, 499, 570, 641, 711, 782, 852, 921, 991, 1060, 1129, 1198, 1266, 1334, 1401, 1468,
    1534, 1600, 1666, 1731, 1796, 1860, 1923, 1986, 2048, 2110, 2171, 2231, 2290, 2349, 2408, 2465, 2522, 2578, 2633,
    2687, 2741, 2793, 2845, 2896, 2946, 2996, 3044, 3091, 3138, 3183, 3228, 3271, 3314, 3355, 3396, 3435, 3474, 3511,
    3547, 3582, 3617, 3650, 3681, 3712, 3742, 3770, 3798, 3824, 3849, 3873, 3896, 3917, 3937, 3956, 3974, 3991, 4006,
    4021, 4034, 4046, 4056, 4065, 4074, 4080, 4086, 4090, 4094, 4095, 4096,
)  # fmt: skip


def sine(degrees: int) -> int:
    """4096 times the sine of a whole number of degrees, from a table."""
    degrees %= 360
    if degrees >= 180:
        return -sine(degrees - 180)
    return _QUADRANT[degrees if degrees <= 90 else 180 - degrees]


def cosine(degrees: int) -> int:
    """4096 times the cosine of a whole number of degrees."""
    return sine(degrees + 90)


_ARCSINE = np.searchsorted(np.array(_QUADRANT), np.arange(4097), side="left").astype(np.int32)
"""Degrees in 0 .. 90 for a sine of 0 .. 4096, in 1/4096."""

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps surface points to colours (n, 3): angle around the body (0 front, 90 its left, 180 back), height 0 .. 255."""


class Canvas:
    """An RGB picture that can be drawn on.

    Args:
        pixels: (height, width, 3) uint8, changed in place.
        light: direction of the light, -100 (left) .. 100 (right): how much brighter that side of a round body is.
        folds: (32, 64) uint8, unevenness of all surfaces; it changes brightness by a few per cent.
    """

    def __init__(self, pixels: np.ndarray, light: int, folds: np.ndarray) -> None:
        self.pixels = pixels
        self.light = light
        self.folds = folds.astype(np.int32)

    def tube(
        self,
        start: tuple[int, int],
        end: tuple[int, int],
        widths: Sequence[tuple[int, int]],
        yaw: int,
        paint: Paint,
        round_start: bool = False,
        round_end: bool = False,
    ) -> None:
        """Draws a body of revolution around the line from ``start`` to ``end``, as seen from the side.

        Args:
            start: (x, y) of the upper end of the axis.
            end: (x, y) of its lower end.
            widths: (height, half width) knots; height rises from 0 (start) to 255 (end), linear in between.
            yaw: degrees by which the body is turned to its left; this decides which part of the surface is visible.
            paint: the surface.
            round_start: add a hemisphere at the upper end.
            round_end: add a hemisphere at the lower end.
        """
        profile = _profile(widths)
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = max(isqrt(dx * dx + dy * dy), 1)
        box = self._box(start, end, int(profile.max()))
        if box is None:
            return
        x = np.arange(box[0], box[1], dtype=np.int64)[None] * UNIT + UNIT // 2 - start[0]
        y = np.arange(box[2], box[3], dtype=np.int64)[:, None] * UNIT + UNIT // 2 - start[1]
        height = (x * dx + y * dy) * 256 // (length * length)
        across = (x * dy - y * dx) // length
        inside = (height >= 0) & (height <= 255) & (np.abs(across) <= profile[height.clip(0, 255)])
        if round_start:
            inside |= (height < 0) & (x * x + y * y <= int(profile[0]) ** 2)
        if round_end:
            inside |= (height > 255) & ((x - dx) ** 2 + (y - dy) ** 2 <= int(profile[255]) ** 2)
        rows, columns = inside.nonzero()
        if len(rows) == 0:
            return
        height = height[rows, columns].clip(0, 255)
        across = (across[rows, columns] * 4096 // profile[height].clip(1)).clip(-4096, 4096)
        angle = (np.sign(across) * _ARCSINE[np.abs(across)] - yaw) % 360
        colours = paint(angle, height).astype(np.int64)
        shade = 256 - (across * across >> 18) + (self.light * across >> 12)
        shade += (self.folds[(height >> 3) & 31, angle // 6] - 128) >> 3
        self.pixels[rows + box[2], columns + box[0]] = ((colours * shade[:, None]) >> 8).clip(0, 255)

    def ellipse(self, centre: tuple[int, int], radii: tuple[int, int], percent: int) -> None:
        """Darkens an ellipse to ``percent`` per cent, for a shadow."""
        box = self._box(centre, centre, max(radii))
        if box is None:
            return
        x = np.arange(box[0], box[1], dtype=np.int64)[None] * UNIT + UNIT // 2 - centre[0]
        y = np.arange(box[2], box[3], dtype=np.int64)[:, None] * UNIT + UNIT // 2 - centre[1]
        a, b = max(radii[0], 1), max(radii[1], 1)
        distance = (x * x * 64) // (a * a) + (y * y * 64) // (b * b)  # 64 on the rim
        factor = np.where(distance < 64, percent + (100 - percent) * distance // 64, 100)
        part = self.pixels[box[2] : box[3], box[0] : box[1]]
        part[:] = part * factor[:, :, None] // 100

    def _box(self, start: tuple[int, int], end: tuple[int, int], margin: int) -> tuple[int, int, int, int] | None:
        """(left, right, top, bottom) in pixels of the area that may change; None if it is outside the canvas."""
        height, width = self.pixels.shape[:2]
        left = max((min(start[0], end[0]) - margin) // UNIT, 0)
        right = min((max(start[0], end[0]) + margin) // UNIT + 1, width)
        top = max((min(start[1], end[1]) - margin) // UNIT, 0)
        bottom = min((max(start[1], end[1]) + margin) // UNIT + 1, height)
        return (left, right, top, bottom) if left < right and top < bottom else None


def _profile(widths: Sequence[tuple[int, int]]) -> np.ndarray:
    """(256,) int64: the half width at every height, linear between the knots."""
    heights = np.arange(256)
    profile = np.full(256, widths[0][1], dtype=np.int64)
    for (low, first), (high, last) in pairwise(widths):
        part = slice(low, high + 1)
        profile[part] = first + (heights[part] - low) * (last - first) // max(high - low, 1)
    profile[widths[-1][0] :] = widths[-1][1]
    return profile
