"""The surfaces that ``person`` paints on bodies: cloth with patterns, prints and straps, hair and faces.

A surface is a function of the angle around the body (degrees in 0 .. 359: 0 front, 90 the person's left, 180 back) and
the height on the part (0 top, 255 bottom). So a print on the back of a coat cannot be seen from the front.
"""

from __future__ import annotations

import numpy as np

from ccafl_plugin.synthetic.renderer.identity import COLOURS, HAIR, SKIN, Colour, Identity
from ccafl_plugin.synthetic.renderer.raster import Paint


def plain(colour: Colour) -> Paint:
    """One colour everywhere."""
    row = np.array([colour], dtype=np.int64)
    return lambda angle, _height: row.repeat(len(angle), axis=0)


def from_front(angle: np.ndarray, centre: int = 0) -> np.ndarray:
    """Degrees, -180 .. 179, to the left of ``centre``."""
    return (angle - centre + 180) % 360 - 180


def _pattern(name: str, angle: np.ndarray, height: np.ndarray) -> np.ndarray:
    """True where a pattern shows its second colour."""
    if name == "striped":
        return height // 26 % 2 == 1
    if name == "pinstriped":
        return angle % 24 < 8
    if name == "checked":
        return (height // 22 % 2) ^ (angle // 24 % 2) == 1
    if name == "dotted":
        return ((height % 34 - 17) ** 2 + (angle % 30 - 15) ** 2) < 80
    if name == "two-tone":
        return height > 118
    return np.zeros(len(angle), dtype=bool)


def torso(person: Identity) -> Paint:
    """The upper garment on the trunk: pattern, print, zip, lapels, and the straps of bags."""
    main, second = COLOURS[person.top_colour], COLOURS.get(person.second_colour)
    under = second or main
    mark, bag = COLOURS.get(person.print_colour), COLOURS.get(person.bag_colour, main)

    def paint(angle: np.ndarray, height: np.ndarray) -> np.ndarray:
        colours = np.empty((len(angle), 3), dtype=np.int64)
        colours[:] = main
        front = from_front(angle)
        away = np.abs(front)
        if person.top == "open jacket":
            colours[away < 8 + height // 10] = under
        elif second is not None:
            colours[_pattern(person.pattern, angle, height)] = second
        if person.top == "coat":
            colours[away < 3] = [value * 5 // 8 for value in main]
        if person.top == "hoodie":
            colours[(away > 110) & (height < 48)] = [value * 3 // 4 for value in main]
            colours[(away < 40) & (height > 165) & (height < 225)] = [value * 4 // 5 for value in main]
        if mark is not None:
            turned = front if person.print_place == "front" else from_front(angle, 180)
            if person.print_place == "front":
                colours[(turned * turned * 3 + (height - 85) ** 2) < 2300] = mark
            else:
                colours[(np.abs(turned) < 38) & (height > 45) & (height < 110)] = mark
        if person.bag == "backpack":
            colours[(np.abs(away - 36) < 8) & (height < 150)] = bag
        if person.bag == "shoulder bag":
            slope = front if person.side == "left" else -front
            over = np.where(away < 90, slope, np.where(slope > 0, 180 - slope, -180 - slope))
            colours[np.abs(over * 10 + 900 - height * 8) < 110] = bag
        return colours

    return paint


def sleeve(person: Identity, bare_from: int) -> Paint:
    """An arm or a part of it: cloth above ``bare_from`` (0 .. 256), skin below."""
    main, skin = COLOURS[person.top_colour], SKIN[person.skin]
    second = COLOURS.get(person.second_colour, main)

    def paint(angle: np.ndarray, height: np.ndarray) -> np.ndarray:
        colours = np.empty((len(angle), 3), dtype=np.int64)
        colours[:] = main
        if person.pattern in ("striped", "checked"):
            colours[height // 64 % 2 == 1] = second
        colours[height >= bare_from] = skin
        return colours

    return paint


def leg(person: Identity, bare_from: int) -> Paint:
    """A leg or a part of it: cloth above ``bare_from``, skin below."""
    cloth, skin = COLOURS[person.bottom_colour], SKIN[person.skin]

    def paint(angle: np.ndarray, height: np.ndarray) -> np.ndarray:
        colours = np.empty((len(angle), 3), dtype=np.int64)
        colours[:] = cloth
        colours[height >= bare_from] = skin
        return colours

    return paint


def head(person: Identity) -> Paint:
    """The face, the hair unless the person is bald, and a hat."""
    skin = np.array(SKIN[person.skin], dtype=np.int64)
    hair, hat = HAIR.get(person.hair), COLOURS.get(person.hat_colour)

    def paint(angle: np.ndarray, height: np.ndarray) -> np.ndarray:
        colours = np.empty((len(angle), 3), dtype=np.int64)
        colours[:] = skin
        away = np.abs(from_front(angle))
        colours[(height > 110) & (height < 132) & (np.abs(away - 24) < 9)] = skin // 3  # eyes
        colours[(height > 186) & (height < 198) & (away < 16)] = skin * 2 // 3  # mouth
        if hair is not None:
            hairline = np.where(away < 62, 66, np.where(away < 100, 150, 225))
            colours[height < hairline] = hair
        if hat is not None:
            colours[height < (84 if person.hat == "cap" else 100)] = hat
        return colours

    return paint


def bag(person: Identity) -> Paint:
    """A bag with a darker flap on the upper third."""
    colour = np.array(COLOURS[person.bag_colour], dtype=np.int64)

    def paint(_angle: np.ndarray, height: np.ndarray) -> np.ndarray:
        return np.where((height < 80)[:, None], colour * 4 // 5, colour)

    return paint
