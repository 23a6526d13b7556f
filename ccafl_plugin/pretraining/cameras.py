"""Cameras at random, so that an encoder learns to see clothes through any light and not through six lenses."""

from __future__ import annotations

from ccafl_plugin.data.synthetic.camera import Camera
from ccafl_plugin.data.synthetic.dice import Dice
from ccafl_plugin.data.synthetic.network import draw_camera


def draw_cameras(count: int, seed: int) -> tuple[Camera, ...]:
    """``count`` cameras; equal arguments give equal cameras on every machine."""
    dice = Dice(seed, "pretraining", "cameras")
    return tuple(draw_camera(dice) for _ in range(count))
