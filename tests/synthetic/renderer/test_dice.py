from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.synthetic.renderer.dice import Dice

MASK = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The published generator's output for a state, step by step."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


def test_known_values_of_splitmix64():
    dice = Dice("any")
    dice._state = 1234567
    assert [dice.word() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_equal_words_equal_draws():
    assert [Dice(1, "a").word() for _ in range(2)] == [Dice(1, "a").word()] * 2
    assert len({Dice(1, "a").word(), Dice(2, "a").word(), Dice(1, "b").word(), Dice(1).word()}) == 4


@given(low=st.integers(-1000, 1000), span=st.integers(0, 500), seed=st.integers(0, 2**31))
def test_ranges(low, span, seed):
    dice = Dice(seed)
    assert all(low <= dice.between(low, low + span) <= low + span for _ in range(20))
    assert all(-span <= dice.around(span) <= span for _ in range(20))
    assert dice.choose(["x"]) == "x"
    sample = dice.sample(range(span), span // 2)
    assert len(set(sample)) == len(sample) == span // 2


def test_both_ends_and_all_in_between_come_up():
    dice = Dice("ends")
    assert {dice.between(2, 5) for _ in range(200)} == {2, 3, 4, 5}
    assert {dice.around(2) for _ in range(300)} == {-2, -1, 0, 1, 2}


def test_weights_and_chances():
    dice = Dice("weights")
    counts = Counter(dice.weighted({"a": 3, "b": 1, "never": 0}) for _ in range(2000))
    assert set(counts) == {"a", "b"}
    assert 2.5 < counts["a"] / counts["b"] < 3.6
    assert 150 < sum(dice.chance(10) for _ in range(2000)) < 250
    assert not any(dice.chance(0) for _ in range(200))
    assert all(dice.chance(100) for _ in range(200))


def test_bytes_equal_a_loop():
    dice, twin = Dice("bytes"), Dice("bytes")
    array = dice.bytes(3, 7)
    assert (array.shape, array.dtype) == ((3, 7), np.uint8)
    start = twin.word()
    words = [splitmix64((start + i * 0x9E3779B97F4A7C15) & MASK) for i in range(1, 4)]
    expected = b"".join(word.to_bytes(8, "little") for word in words)[:21]
    assert array.tobytes() == expected


def test_bytes_are_even():
    values = Dice("even").bytes(64, 1024)
    counts = np.bincount(values.ravel(), minlength=256)
    assert 180 < counts.min() <= counts.max() < 340
