"""Renders one picture of the benchmark: a person in a camera at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ccafl_plugin.synthetic.renderer.camera import Camera, enlarge, take_picture
from ccafl_plugin.synthetic.renderer.cameras import camera_of
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import Identity, draw_identity
from ccafl_plugin.synthetic.renderer.person import Placing, Pose, draw_person
from ccafl_plugin.synthetic.renderer.raster import UNIT, Canvas
from ccafl_plugin.synthetic.renderer.scene import HEIGHT, WIDTH, draw_scene

IMAGE_HEIGHT, IMAGE_WIDTH = 128, 64
"""Size of a file's picture in pixels, that of Market-1501."""


@dataclass(frozen=True)
class Frame:
    """The description of a picture before it is rendered.

    Attributes:
        person: the person in it.
        camera: number of the camera, from 0, see ``cameras.camera_of``.
        track: number of the track. A track is one walk of a person past a camera; its frames share direction, place
            and light.
        number: number of the frame in its track.
        seed: seed of the benchmark.
    """

    person: Identity
    camera: int
    track: int
    number: int
    seed: int


@dataclass(frozen=True)
class _Track:
    """What the frames of one track have in common."""

    yaw: int
    left: int
    top: int
    percent: int
    brightness: int


def render(frame: Frame, camera: Camera | None = None) -> np.ndarray:
    """The picture, (128, 64, 3) uint8, as the camera sees it and before its JPEG compression.

    Equal frames give equal pixels on every machine.

    Args:
        frame: what to render.
        camera: a camera to use instead of the benchmark's camera.
    """
    camera = camera or camera_of(frame.camera)
    track = _draw_track(camera, Dice(frame.seed, "track", frame.track))
    dice = Dice(frame.seed, "frame", frame.track, frame.number)
    lines = max(camera.lines * track.percent // 100, 24) // 2 * 2
    canvas = Canvas(_background(camera, track, frame.seed, lines, dice), camera.light, dice.bytes(32, 64))

    box = camera.jitter
    height = canvas.pixels.shape[0] * UNIT * (91 + dice.around(box)) // 100
    x = canvas.pixels.shape[1] * UNIT * (50 + dice.around(2 * box)) // 100
    y = canvas.pixels.shape[0] * UNIT * (96 + dice.around(box)) // 100
    place = Placing(x, y, height, camera.tilt)

    if dice.chance(12):  # somebody behind
        _passer_by(canvas, camera, place, dice, behind=True)
    draw_person(canvas, frame.person, Pose.draw(track.yaw, dice), place)
    if dice.chance(camera.hidden):
        _hide(canvas, camera, place, dice)

    light = canvas.pixels.astype(np.int32)
    light = (light[0::2, 0::2] + light[1::2, 0::2] + light[0::2, 1::2] + light[1::2, 1::2] + 2) >> 2
    picture = take_picture(light, camera, track.brightness + dice.around(6), dice)
    return enlarge(picture, IMAGE_HEIGHT, IMAGE_WIDTH)


def _draw_track(camera: Camera, dice: Dice) -> _Track:
    return _Track(
        yaw=dice.weighted(dict(camera.yaws)) + dice.around(24),
        left=dice.between(0, WIDTH - 128 - 120),
        top=dice.between(40, HEIGHT - 256 - 20),
        percent=100 + dice.around(24),
        brightness=100 + dice.around(24),
    )


def _background(camera: Camera, track: _Track, seed: int, lines: int, dice: Dice) -> np.ndarray:
    """(2 lines, lines, 3) uint8: the part of the scene that this frame shows."""
    scene = draw_scene(camera.scene, seed, camera.place)
    left, top = track.left + dice.between(0, 120), track.top + dice.between(-20, 20)
    rows = np.arange(2 * lines) * 256 // (2 * lines) + top
    columns = np.arange(lines) * 128 // lines + left
    return scene[rows][:, columns].copy()


def _passer_by(canvas: Canvas, camera: Camera, place: Placing, dice: Dice, behind: bool) -> None:
    """Draws another person at the border of the picture."""
    side = dice.choose((-1, 1)) * canvas.pixels.shape[1] * UNIT * dice.between(36, 52) // 100
    size = place.height * (dice.between(72, 92) if behind else dice.between(100, 112)) // 100
    y = place.y - (place.y * dice.between(3, 10) // 100 if behind else -place.y * dice.between(1, 8) // 100)
    yaw = dice.weighted(dict(camera.yaws))
    draw_person(canvas, draw_identity(dice), Pose.draw(yaw, dice), Placing(place.x + side, y, size, camera.tilt))


_THINGS: Sequence[tuple[int, int, int]] = ((60, 62, 66), (120, 90, 58), (58, 92, 50), (150, 44, 40), (176, 176, 172))


def _hide(canvas: Canvas, camera: Camera, place: Placing, dice: Dice) -> None:
    """Draws something in front of the person: another person, an object on the ground, or a post."""
    height, width = canvas.pixels.shape[:2]
    what = dice.between(0, 2)
    if what == 0:
        _passer_by(canvas, camera, place, dice, behind=False)
        return
    colour = np.array(dice.choose(_THINGS), dtype=np.int32)
    if what == 1:
        top, left = height * dice.between(62, 80) // 100, width * dice.between(0, 45) // 100
        area = canvas.pixels[top:, left : left + width * dice.between(45, 80) // 100]
    else:
        left = width * dice.between(15, 78) // 100
        area = canvas.pixels[:, left : left + max(width * dice.between(7, 14) // 100, 2)]
    noise = dice.bytes(*area.shape[:2]).astype(np.int32)
    area[:] = (colour + ((noise - 128) >> 4)[:, :, None]).clip(0, 255)
