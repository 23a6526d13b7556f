"""The cameras of a benchmark: always the same six, and any number of additional random cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from ccafl_plugin.synthetic.renderer.camera import CAMERAS, Camera
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.scene import SCENES
from ccafl_plugin.utils.errors import WrongArgument

FEWEST, MOST = len(CAMERAS), 99
"""Smallest and largest number of cameras of a benchmark."""


def check_cameras(count: int) -> None:
    """Checks the number of cameras of a benchmark.

    Raises:
        CCAFLError: fewer than ``FEWEST`` or more than ``MOST``.
    """
    if not FEWEST <= count <= MOST:
        raise WrongArgument(f"{{cameras}}: synthetic_persons has {FEWEST} to {MOST} cameras, not {count}.")


@cache
def camera_of(number: int) -> Camera:
    """The camera with a number, from 0: one of ``CAMERAS``, or from 6 on a random one; equal in all benchmarks."""
    if number < len(CAMERAS):
        return CAMERAS[number]
    dice = Dice("further camera", number)
    return replace(draw_camera(dice), crowd=dice.between(24, 74), place=number)


def draw_camera(dice: Dice) -> Camera:
    """Draws a camera with properties in ranges around those of the six; it sees people from three directions."""
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
