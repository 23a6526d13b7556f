"""Random numbers in integer arithmetic, equal on every machine and for every version of Python and NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from ccafl_plugin.utils.seeds import derive_seed

Item = TypeVar("Item")

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


class Dice:
    """A stream of random draws that depends only on the words that it is created from (splitmix64).

    Args:
        parts: the purpose of the draws, e.g. ``Dice(seed, "pose", pid, camera, frame)``.
    """

    def __init__(self, *parts: int | str) -> None:
        self._state = derive_seed(*parts)

    def word(self) -> int:
        """The next 64 bits."""
        self._state = (self._state + _STEP) & _MASK
        bits = self._state
        bits = ((bits ^ (bits >> 30)) * _MIX_1) & _MASK
        bits = ((bits ^ (bits >> 27)) * _MIX_2) & _MASK
        return bits ^ (bits >> 31)

    def between(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + ((self.word() * (high - low + 1)) >> 64)

    def around(self, spread: int) -> int:
        """A whole number from ``-spread`` to ``spread``, more likely near 0 (mean of two draws, rounded down)."""
        return (self.between(-spread, spread) + self.between(-spread, spread)) >> 1

    def chance(self, percent: int) -> bool:
        """True with a probability of ``percent`` per cent."""
        return self.between(0, 99) < percent

    def choose(self, items: Sequence[Item]) -> Item:
        """One of ``items``, with equal probability."""
        return items[self.between(0, len(items) - 1)]

    def weighted(self, weights: dict[Item, int]) -> Item:
        """One of the keys, in proportion to its weight."""
        ticket = self.between(0, sum(weights.values()) - 1)
        for item, weight in weights.items():
            ticket -= weight
            if ticket < 0:
                return item
        raise AssertionError("unreachable: the ticket is below the sum of the weights")

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """``count`` different ones of ``items`` in random order."""
        rest = list(items)
        return [rest.pop(self.between(0, len(rest) - 1)) for _ in range(count)]

    def bytes(self, *shape: int) -> np.ndarray:
        """An array of that shape, uint8, uniform over 0 .. 255."""
        size = int(np.prod(shape))
        words = np.arange(1, size // 8 + 2, dtype=np.uint64)
        bits = words * np.uint64(_STEP) + np.uint64(self.word())  # unsigned arrays wrap around without a warning
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_MIX_1)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_MIX_2)
        bits ^= bits >> np.uint64(31)
        return bits.astype("<u8").view(np.uint8)[:size].reshape(shape)
