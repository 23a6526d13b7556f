"""The backgrounds: one place per camera, drawn from noise, bands and boxes in whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import Colour
from ccafl_plugin.utils.errors import unknown_name

HEIGHT, WIDTH = 384, 768
"""Size of a scene in pixels; a crop shows 256 x 128 of it."""


class Place:
    """A scene that can be drawn on: (HEIGHT, WIDTH, 3) int32 pixels, and the dice for its random draws."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.int32)

    def band(self, top: int, bottom: int, colour: Colour, grain: int = 24, cell: int = 16) -> None:
        """Draws a strip of uneven colour over the whole width."""
        noise = value_noise(bottom - top, WIDTH, cell, self.dice) + value_noise(bottom - top, WIDTH, 4, self.dice)
        self.pixels[top:bottom] = np.array(colour) + ((noise - 256) * grain >> 8)[:, :, None]

    def box(self, left: int, top: int, width: int, height: int, colour: Colour, grain: int = 10) -> None:
        """Draws a rectangle with a darker lower edge; parts outside the scene are cut off."""
        area = self.pixels[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
        noise = self.dice.bytes(*area.shape[:2]).astype(np.int32)
        area[:] = np.array(colour) + ((noise - 128) * grain >> 7)[:, :, None]
        area[-3:] = area[-3:] * 3 // 5

    def lines(self, top: int, bottom: int, step: int, percent: int, across: bool, thick: int = 2) -> None:
        """Draws the joints of paving: every ``step`` pixels, a line with ``percent`` per cent of the brightness."""
        strip = self.pixels[top:bottom]
        for offset in range(thick):
            joint = strip[:, offset::step] if across else strip[offset::step]
            joint[:] = joint * percent // 100

    def finished(self) -> np.ndarray:
        return self.pixels.clip(0, 255).astype(np.uint8)


def plaza(place: Place) -> None:
    """Light paving in front of a sandstone wall with windows."""
    place.band(0, 170, (176, 156, 126), grain=20)
    for left in range(10, WIDTH, 96):
        place.box(left, 30, 46, 84, (70, 82, 96))
    place.band(170, HEIGHT, (186, 182, 172), grain=22)
    place.lines(170, HEIGHT, 44, 82, across=True)
    place.lines(170, HEIGHT, 30, 82, across=False)
    for _ in range(4):
        place.box(place.dice.between(0, WIDTH), 150, 26, 70, (96, 92, 84))


def park(place: Place) -> None:
    """Grass, bushes and trunks."""
    place.band(0, 190, (58, 84, 42), grain=90, cell=24)
    for _ in range(9):
        place.box(place.dice.between(0, WIDTH), 0, place.dice.between(14, 30), 210, (72, 56, 40), grain=24)
    place.band(190, 270, (96, 128, 62), grain=50, cell=10)
    place.band(270, HEIGHT, (150, 134, 108), grain=36, cell=8)


def corridor(place: Place) -> None:
    """Indoors: cream walls with doors and posters, a shining floor."""
    place.band(0, 210, (206, 192, 164), grain=10)
    for left in range(30, WIDTH, 150):
        place.box(left, 50, 66, 160, (122, 82, 54))
        place.box(left + 92, 70, 34, 50, place.dice.choose(((40, 90, 150), (170, 50, 50), (60, 120, 80))))
    place.band(210, HEIGHT, (150, 130, 104), grain=14)
    place.lines(210, HEIGHT, 52, 88, across=True)
    place.lines(210, HEIGHT, 40, 88, across=False)


def street(place: Place) -> None:
    """Parked cars, a kerb and asphalt with a white line."""
    place.band(0, 120, (112, 116, 118), grain=34, cell=32)
    left = 0
    while left < WIDTH:
        car = place.dice.choose(((150, 34, 34), (196, 198, 202), (30, 34, 42), (44, 70, 128), (90, 94, 98)))
        width = place.dice.between(130, 180)
        place.box(left, 96, width, 86, car)
        place.box(left + 22, 66, width - 44, 36, (48, 58, 66))
        left += width + place.dice.between(16, 60)
    place.band(180, 200, (150, 148, 142), grain=16)
    place.band(200, HEIGHT, (76, 78, 82), grain=30, cell=6)
    place.box(0, 300, WIDTH, 10, (206, 206, 200))


def night(place: Place) -> None:
    """Dark pavement with lit shop windows."""
    place.band(0, 200, (44, 42, 48), grain=16)
    for left in range(20, WIDTH, 180):
        place.box(left, 20, 110, 150, place.dice.choose(((224, 206, 150), (196, 210, 220), (210, 150, 120))), grain=40)
    place.band(200, HEIGHT, (66, 64, 62), grain=26, cell=8)
    place.lines(200, HEIGHT, 36, 76, across=False)


def entrance(place: Place) -> None:
    """A glass front with mullions above pale tiles."""
    place.band(0, 230, (164, 190, 206), grain=40, cell=64)
    for left in range(0, WIDTH, 74):
        place.box(left, 0, 7, 230, (60, 66, 72))
    place.box(0, 110, WIDTH, 6, (60, 66, 72))
    place.band(230, HEIGHT, (198, 200, 204), grain=12)
    place.lines(230, HEIGHT, 64, 86, across=True)
    place.lines(230, HEIGHT, 48, 86, across=False)


SCENES: dict[str, Callable[[Place], None]] = {
    scene.__name__: scene for scene in (plaza, park, corridor, street, night, entrance)
}


@cache
def draw_scene(name: str, seed: int, place: int = 0) -> np.ndarray:
    """Draws a whole scene, (HEIGHT, WIDTH, 3) uint8, read-only.

    Args:
        name: kind of the place.
        seed: seed of the benchmark.
        place: another number gives another place of that kind.

    Raises:
        CCAFLError: the name is unknown.
    """
    if name not in SCENES:
        raise unknown_name("scene", name, SCENES)
    drawn = Place(Dice(seed, "scene", name, *([place] if place else [])))
    SCENES[name](drawn)
    pixels = drawn.finished()
    pixels.setflags(write=False)
    return pixels


def value_noise(height: int, width: int, cell: int, dice: Dice) -> np.ndarray:
    """Smooth noise, (height, width) int32 in 0 .. 255: random values every ``cell`` pixels, linear in between."""
    grid = dice.bytes(height // cell + 2, width // cell + 2).astype(np.int32)
    y, x = np.arange(height), np.arange(width)
    row, down = y // cell, (y % cell)[:, None]
    column, right = x // cell, (x % cell)[None]
    upper = grid[row][:, column] * (cell - right) + grid[row][:, column + 1] * right
    lower = grid[row + 1][:, column] * (cell - right) + grid[row + 1][:, column + 1] * right
    return (upper * (cell - down) + lower * down) // (cell * cell)
