"""Blocks that hold each cross-camera pair once."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.association import blocks
from ccafl_plugin.association.blocks import chunks, cross_camera_blocks


@given(
    sizes=st.lists(st.integers(1, 12), max_size=6),
    elements=st.sampled_from([1, 20, 60, 1000]),
    rows=st.sampled_from([1, 2, 5]),
)
def test_each_pair_of_different_cameras_once(sizes: list[int], elements: int, rows: int) -> None:
    cameras = np.repeat(np.arange(len(sizes)), sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_ELEMENTS", elements)
        patch.setattr(blocks, "BLOCK_ROWS", rows)
        found = list(cross_camera_blocks(cameras))
    seen: Counter[tuple[int, int]] = Counter()
    for block_rows, columns in found:
        assert columns.stop == len(cameras)
        height, width = block_rows.stop - block_rows.start, columns.stop - columns.start
        assert height == rows or height * width <= elements or height < rows
        for a in range(block_rows.start, block_rows.stop):
            seen.update((a, b) for b in range(columns.start, columns.stop) if cameras[a] < cameras[b])
    expected = [(a, b) for a, b in combinations(range(len(cameras)), 2) if cameras[a] != cameras[b]]
    assert seen == Counter(expected)


def test_a_block_holds_rows_of_one_camera_unless_cameras_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 3)
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 100)

    def rows(*sizes: int) -> list[tuple[int, int]]:
        found = cross_camera_blocks(np.repeat(np.arange(len(sizes)), sizes))
        return [(block_rows.start, block_rows.stop) for block_rows, _ in found]

    assert rows(5, 4, 10) == [(0, 5), (5, 9)]
    assert rows(11, 10) == [(0, 6), (6, 11)]  # not ten and one
    assert rows(1, 1, 4, 2) == [(0, 3), (3, 6)]
    assert rows(7) == rows() == []


def test_chunks() -> None:
    assert [range(10)[part] for part in chunks(10, 4)] == [range(4), range(4, 8), range(8, 10)]
    assert chunks(2, 0) == [slice(0, 1), slice(1, 2)]
    assert chunks(0, 3) == []
