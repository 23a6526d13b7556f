"""Random cameras for pretraining, so that the encoder learns clothes under any light and not in six cameras only."""

from __future__ import annotations

from ccafl_plugin.synthetic.renderer.camera import Camera
from ccafl_plugin.synthetic.renderer.cameras import draw_camera
from ccafl_plugin.synthetic.renderer.dice import Dice


def draw_cameras(count: int, seed: int) -> tuple[Camera, ...]:
    """``count`` cameras; equal arguments give equal cameras on every machine."""
    dice = Dice(seed, "pretraining", "cameras")
    return tuple(draw_camera(dice) for _ in range(count))
