from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ccafl_plugin.synthetic.renderer.identity import COLOURS, HAIR
from ccafl_plugin.synthetic.renderer.person import Placing, Pose, draw_person
from ccafl_plugin.synthetic.renderer.raster import UNIT, Canvas
from tests.synthetic.renderer.test_identity import WOMAN

PLAIN = replace(WOMAN, pattern="plain", second_colour="none", print_place="none", print_colour="none", bag="none",
                bag_colour="none", hat="none", hat_colour="none", top_colour="grey")  # fmt: skip
FLAT = np.full((32, 64), 128, dtype=np.uint8)
FRONT, LEFT_SIDE_AHEAD, BACK = 0, 270, 180


def portrait(person, yaw, stride=0, raised="none", background=255):
    pixels = np.full((256, 128, 3), background, dtype=np.uint8)
    place = Placing(64 * UNIT, 246 * UNIT, 230 * UNIT, 20)
    draw_person(Canvas(pixels, 0, FLAT), person, Pose(yaw, 0, 40, stride, raised), place)
    return pixels


def amount(pixels, colour):
    """Pixels whose hue is that of ``colour``, whatever the shade on it."""
    values = pixels.astype(float)
    unit = values / np.maximum(np.linalg.norm(values, axis=2, keepdims=True), 1)
    wanted = np.array(colour, dtype=float) / np.linalg.norm(colour)
    return int(((unit @ wanted > 0.999) & (values.sum(axis=2) > 30)).sum())


def test_stands_where_it_is_put():
    changed = (portrait(PLAIN, FRONT) != 255).any(axis=2)
    rows, columns = changed.any(axis=1).nonzero()[0], changed.any(axis=0).nonzero()[0]
    assert rows[0] == pytest.approx(246 - 230, abs=3)
    assert rows[-1] == pytest.approx(246, abs=12)  # with its shadow
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(63.5, abs=3)


def test_a_print_is_seen_from_its_own_side_only():
    mark = COLOURS["orange"]
    front = replace(PLAIN, print_place="front", print_colour="orange")
    back = replace(PLAIN, print_place="back", print_colour="orange")
    assert amount(portrait(front, FRONT), mark) > 150 > 0 == amount(portrait(front, BACK), mark)
    assert amount(portrait(back, BACK), mark) > 150 > 0 == amount(portrait(back, FRONT), mark)


def test_a_backpack_is_large_from_behind_and_straps_in_front():
    person = replace(PLAIN, bag="backpack", bag_colour="orange")
    behind, ahead = (amount(portrait(person, yaw), COLOURS["orange"]) for yaw in (BACK, FRONT))
    assert behind > 1500
    assert 50 < ahead < behind / 4


@pytest.mark.parametrize("bag", ["shoulder bag", "handbag"])
def test_a_bag_is_seen_from_its_own_side(bag):
    """At 270 degrees the person's left is ahead."""
    seen = {
        side: amount(portrait(replace(PLAIN, bag=bag, bag_colour="orange", side=side), LEFT_SIDE_AHEAD),
                     COLOURS["orange"])
        for side in ("left", "right")
    }  # fmt: skip
    assert seen["left"] > 2 * seen["right"]


def test_long_hair_shows_from_behind_and_faces_from_the_front():
    person = replace(PLAIN, hairstyle="long", hair="red")
    behind, ahead = (amount(portrait(person, yaw), HAIR["red"]) for yaw in (BACK, FRONT))
    assert behind > 1.5 * ahead > 0


@pytest.mark.parametrize(
    "change",
    [
        {"build": "heavy"}, {"sex": "man"}, {"skin": "dark"}, {"hair": "blond"}, {"hairstyle": "bun"}, {"top": "coat"},
        {"top": "hoodie"}, {"top": "T-shirt"}, {"top": "open jacket", "second_colour": "white"}, {"top_colour": "red"},
        {"bottom": "skirt"}, {"bottom": "shorts"}, {"bottom": "leggings"}, {"bottom_colour": "white"},
        {"shoes": "white"}, {"hat": "cap", "hat_colour": "red"}, {"hat": "beanie", "hat_colour": "red"},
        *({"pattern": name, "second_colour": "white"}
          for name in ("striped", "pinstriped", "checked", "dotted", "two-tone")),
    ],
    ids=lambda change: "-".join(change.values()),
)  # fmt: skip
def test_every_attribute_can_be_seen(change):
    other = replace(PLAIN, **change)
    assert any((portrait(PLAIN, yaw) != portrait(other, yaw)).any(axis=2).sum() > 40 for yaw in (FRONT, 90, BACK))


def test_poses_differ():
    still, walking, raised = (portrait(PLAIN, 90, *pose) for pose in ((0,), (28,), (0, "right")))
    assert (still != walking).any(axis=2).sum() > 500
    assert (still != raised).any(axis=2).sum() > 100
