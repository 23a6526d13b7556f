from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.synthetic.renderer.raster import UNIT, Canvas, cosine, sine
from ccafl_plugin.synthetic.renderer.surfaces import plain

FLAT = np.full((32, 64), 128, dtype=np.uint8)
coordinate = st.integers(-40 * UNIT, 80 * UNIT)


def blank(height=40, width=30):
    return np.zeros((height, width, 3), dtype=np.uint8)


def painted(pixels):
    return pixels.any(axis=2)


@pytest.mark.parametrize("degrees", [*range(-360, 721, 15), 1, 89, 91, 359])
def test_table_of_sines(degrees):
    assert sine(degrees) == pytest.approx(4096 * math.sin(math.radians(degrees)), abs=0.51)
    assert cosine(degrees) == pytest.approx(4096 * math.cos(math.radians(degrees)), abs=0.51)


@given(
    start=st.tuples(coordinate, coordinate),
    end=st.tuples(coordinate, coordinate),
    widths=st.tuples(st.integers(0, 160), st.integers(0, 160)),
    rounds=st.tuples(st.booleans(), st.booleans()),
)
def test_tube_covers_what_geometry_says(start, end, widths, rounds):
    """Each pixel by floating-point geometry; pixels within a hair of the outline may go either way."""
    pixels = blank()
    knots = ((0, widths[0]), (255, widths[1]))
    Canvas(pixels, 0, FLAT).tube(start, end, knots, 0, plain((200, 100, 50)), *rounds)
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    if length < 4 * UNIT:
        return  # a dot: the height along it has too few steps for a comparison
    for row in range(pixels.shape[0]):
        for column in range(pixels.shape[1]):
            x, y = (column + 0.5) * UNIT - start[0], (row + 0.5) * UNIT - start[1]
            along, across = (x * dx + y * dy) / length, abs(x * dy - y * dx) / length
            width = widths[0] + (widths[1] - widths[0]) * min(max(along / length, 0), 1)
            margin = min(width - across, along, length - along)  # above 0 inside
            if rounds[0] and along < 0:
                margin = widths[0] - math.hypot(x, y)
            if rounds[1] and along > length:
                margin = widths[1] - math.hypot(x - dx, y - dy)
            if abs(margin) > 4:
                assert painted(pixels)[row, column] == (margin > 0)


@given(yaw=st.integers(-400, 400))
def test_what_side_of_a_body_is_seen(yaw):
    """A body whose surface shows its own angle as a colour."""

    def angles(angle, height):
        return np.stack([angle // 2, angle * 0 + 200, height], axis=1)

    pixels = blank(40, 40)
    Canvas(pixels, 0, FLAT).tube((20 * UNIT, 0), (20 * UNIT, 40 * UNIT), ((0, 300), (255, 300)), yaw, angles)
    row = pixels[20].astype(int)
    middle, right = (row[column, 0] * 400 / row[column, 1] for column in (20, 36))
    assert (middle + yaw + 180) % 360 - 180 == pytest.approx(0, abs=8)
    assert 45 < (right + yaw) % 360 < 90  # its left is on the right of the picture


def test_light_from_the_right():
    pixels = blank(40, 40)
    Canvas(pixels, 80, FLAT).tube((20 * UNIT, 0), (20 * UNIT, 40 * UNIT), ((0, 200), (255, 200)), 0, plain((90,) * 3))
    assert pixels[20, 28, 0] > pixels[20, 20, 0] > pixels[20, 11, 0]


def test_nothing_outside_the_canvas():
    pixels = blank()
    canvas = Canvas(pixels, 0, FLAT)
    canvas.tube((-900, -900), (-800, -700), ((0, 50), (255, 50)), 0, plain((9, 9, 9)))
    canvas.ellipse((-900, -900), (10, 10), 50)
    assert not pixels.any()


def test_shadow_is_darkest_in_its_middle():
    pixels = np.full((40, 40, 3), 200, dtype=np.uint8)
    Canvas(pixels, 0, FLAT).ellipse((20 * UNIT, 20 * UNIT), (16 * UNIT, 8 * UNIT), 50)
    middle = pixels[20, :, 0].astype(int)
    assert middle[20] == pytest.approx(100, abs=4)
    assert (np.diff(middle[20:]) >= 0).all()
    assert (pixels[:10] == 200).all()
    assert (pixels[20, :4] == 200).all()
