"""Cameras at random, so that an encoder learns to see clothes through any light and not through six lenses."""

from __future__ import annotations

from collections.abc import Sequence

from ccafl_plugin.data.synthetic.camera import Camera
from ccafl_plugin.data.synthetic.dice import Dice
from ccafl_plugin.data.synthetic.scene import SCENES


def draw_camera(dice: Dice) -> Camera:
    """A camera with properties from the ranges of the benchmark's; it looks at people from three directions."""
    scenes: Sequence[str] = tuple(SCENES)
    warm = dice.around(28)
    return Camera(
        scene=dice.choose(scenes),
        yaws=tuple((dice.between(0, 359), dice.between(2, 5)) for _ in range(3)),
        crowd=1,
        lines=dice.between(84, 128),
        tilt=dice.between(14, 28),
        light=dice.between(-60, 60),
        exposure=dice.between(78, 124),
        balance=(100 + warm + dice.around(4), 100 + dice.around(8), 100 - warm + dice.around(8)),
        gamma=dice.between(7, 9),
        saturation=dice.between(64, 100),
        haze=dice.between(4, 24),
        blur=dice.between(0, 1),
        noise=dice.between(4, 14),
        quality=dice.between(66, 92),
        hidden=dice.between(6, 16),
        jitter=dice.between(5, 7),
    )


def draw_cameras(count: int, seed: int) -> tuple[Camera, ...]:
    """``count`` cameras; equal arguments give equal cameras on every machine."""
    dice = Dice(seed, "pretraining", "cameras")
    return tuple(draw_camera(dice) for _ in range(count))
