"""The effects of a camera: view, distance, light, colours, blur, noise and compression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ccafl_plugin.synthetic.renderer.dice import Dice


@dataclass(frozen=True)
class Camera:
    """One camera. Brightness and colours are whole percentages, so that all machines round equally.

    Attributes:
        scene: name of the background.
        yaws: directions in which people walk, degrees (0 towards the camera, 180 away), with weights.
        crowd: number of people that it sees, relative to the other cameras.
        lines: height in pixels of a crop on the sensor, before it is scaled to the size of the file.
        tilt: how far it looks down, see ``person.Placing``.
        light: direction of the light, -100 (left) .. 100 (right).
        exposure: brightness.
        balance: gains of red, green and blue.
        gamma: in eighths; 8 is linear, a larger value darkens the middle tones.
        saturation: 0 is grey, 100 leaves colours unchanged.
        haze: light added to black, 0 .. 255; white stays white.
        blur: how often pixels are mixed with their neighbours.
        noise: largest error of a pixel of medium brightness.
        quality: quality of the JPEG file.
        hidden: per cent of the pictures in which something occludes the person.
        jitter: largest error of the detector's box, per cent of its size.
        place: cameras of one scene and one place have the same background.
    """

    scene: str
    yaws: tuple[tuple[int, int], ...]
    crowd: int
    lines: int
    tilt: int
    light: int
    exposure: int
    balance: tuple[int, int, int]
    gamma: int
    saturation: int
    haze: int
    blur: int
    noise: int
    quality: int
    hidden: int
    jitter: int
    place: int = 0


CAMERAS: tuple[Camera, ...] = (
    Camera("plaza", ((0, 5), (35, 3), (180, 3)), 70, 128, 16, 40, 104, (102, 100, 97), 8, 100, 4, 0, 5, 90, 8, 5),
    Camera("park", ((180, 5), (145, 3), (0, 3)), 54, 108, 20, -50, 92, (86, 112, 84), 8, 92, 6, 1, 6, 82, 10, 6),
    Camera("corridor", ((90, 5), (55, 3), (250, 3)), 74, 100, 26, 10, 94, (126, 98, 68), 8, 96, 6, 1, 7, 78, 8, 6),
    Camera("street", ((270, 5), (235, 3), (70, 3)), 24, 88, 24, 60, 92, (80, 98, 126), 8, 66, 24, 1, 8, 70, 14, 6),
    Camera("night", ((0, 3), (320, 4), (140, 4)), 50, 84, 22, -60, 68, (128, 94, 60), 9, 60, 8, 1, 14, 74, 10, 6),
    Camera("entrance", ((180, 4), (225, 4), (30, 4)), 60, 104, 18, 0, 130, (94, 100, 112), 7, 72, 30, 0, 6, 84, 8, 6),
)
"""The six cameras of every benchmark. Each changes colours differently."""


def take_picture(light: np.ndarray, camera: Camera, brightness: int, dice: Dice) -> np.ndarray:
    """Applies the effects of a camera to the light on its sensor.

    Args:
        light: (H, W, 3) uint8, the light on the sensor, one value per sensor pixel.
        camera: the camera.
        brightness: per cent; the current brightness of the place, such as from clouds and lamps.
        dice: source of the noise.

    Returns:
        (H, W, 3) uint8.
    """
    values = light.astype(np.int32)
    for _ in range(camera.blur):
        values = _blurred(values)
    values = values * brightness // 100
    grey = (values * (77, 150, 29)).sum(axis=2, keepdims=True) >> 8
    values = grey + (values - grey) * camera.saturation // 100
    values = values.clip(0, 511)
    values = np.stack([_response(camera, channel)[values[:, :, channel]] for channel in range(3)], axis=2)
    if camera.noise:
        values = values + _noise(values.shape, camera.noise, dice)
    return values.clip(0, 255).astype(np.uint8)


def enlarge(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scales a picture to (height, width, 3) by linear interpolation in whole numbers."""
    rows, down = _taps(picture.shape[0], height)
    columns, right = _taps(picture.shape[1], width)
    values = picture.astype(np.int32)
    values = values[rows] * (256 - down)[:, None, None] + values[rows + 1] * down[:, None, None] + 128 >> 8
    values = values[:, columns] * (256 - right)[:, None] + values[:, columns + 1] * right[:, None] + 128 >> 8
    return values.astype(np.uint8)


@cache
def _taps(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """For each new pixel, the old pixel before its centre, and the weight of the next old pixel in 1/256."""
    centres = ((2 * np.arange(new_size) + 1) * size * 128 // new_size - 128).clip(0, (size - 1) * 256)
    first = (centres // 256).clip(0, size - 2)
    return first, centres - first * 256


@cache
def _response(camera: Camera, channel: int) -> np.ndarray:
    """(512,) int32: the value in the file for each amount of light, for one channel."""
    gain = camera.exposure * camera.balance[channel]
    table = []
    for value in range(512):
        lit = min(value * gain // 10000, 255)
        curved = _root(lit**camera.gamma * 255 ** (8 - camera.gamma), 8) if camera.gamma <= 8 else _darker(lit, camera)
        table.append(camera.haze + curved * (255 - camera.haze) // 255)
    return np.array(table, dtype=np.int32)


def _darker(lit: int, camera: Camera) -> int:
    return _root(lit**camera.gamma // 255 ** (camera.gamma - 8), 8)


def _root(number: int, degree: int) -> int:
    """The largest whole number below 256 whose power is at most ``number``."""
    return max(root for root in range(256) if root**degree <= number)


def _blurred(values: np.ndarray) -> np.ndarray:
    """Mixes each pixel with its four neighbours; the border is extended by its own pixels."""
    edge = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = edge[:-2, 1:-1] + edge[2:, 1:-1] + edge[1:-1, :-2] + edge[1:-1, 2:]
    return values + (around - 4 * values) // 8


def _noise(shape: tuple[int, int, int], amount: int, dice: Dice) -> np.ndarray:
    """Bell-shaped errors; three quarters of them are equal in all channels, as for a dark sensor."""
    height, width, _ = shape
    common = dice.bytes(4, height, width).astype(np.int32).sum(axis=0) - 510
    own = dice.bytes(2, height, width, 3).astype(np.int32).sum(axis=0) - 255
    return (common[:, :, None] * 3 + own * 2) * amount // 2048
