"""Broken, equal and nearly equal pictures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ccafl_plugin.data.picture_facts import NEAR_BITS, PictureFacts, equal_files, near_duplicates, picture_facts
from tests.data.own_pictures import picture, write


def test_what_is_found(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    Image.fromarray(picture(0)).save(tmp_path / "again.jpg", quality=90)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    names = ["a.png", "b.png", "copy.png", "again.jpg", "broken.jpg"]
    facts = picture_facts([str(tmp_path / name) for name in names])
    assert [(fact.width, fact.height) for fact in facts] == [(32, 64)] * 4 + [(0, 0)]
    assert "broken.jpg can't be read as an image" in facts[4].problem
    assert equal_files(facts) == [(0, 2)]
    assert near_duplicates(facts) == [(0, 3)]


@given(st.integers(0, 2**31), st.lists(st.integers(0, 12), min_size=2, max_size=12))
def test_bands_miss_no_pair(seed: int, flips: list[int]) -> None:
    """Against comparing all pairs; pictures differ in some of their bits, but hardly in their grey values."""
    rng = np.random.default_rng(seed)
    facts = []
    for number, flipped in enumerate(flips):
        bits = np.zeros(128, bool)
        bits[rng.choice(128, flipped, replace=False)] = True
        grey = np.zeros((16, 9), np.uint8)
        rises = bits.reshape(16, 8)
        for column in range(8):
            grey[:, column + 1] = np.where(rises[:, column], grey[:, column] + 1, np.maximum(grey[:, column], 1) - 1)
        facts.append(PictureFacts("", 1, 1, str(number), grey))
    kept = {}
    for index, fact in enumerate(facts):
        kept.setdefault(fact.bits, index)
    slow = {
        (a, b)
        for a, b in itertools.combinations(range(len(facts)), 2)
        if (kept[facts[a].bits] == a or (facts[a].bits == facts[b].bits and kept[facts[a].bits] == a))
        and (facts[a].bits == facts[b].bits or kept[facts[b].bits] == b)
        and (facts[a].bits ^ facts[b].bits).bit_count() <= NEAR_BITS
    }
    assert set(near_duplicates(facts)) == slow
