"""Average linkage of proxies that never joins two of one camera, from the few pairs that attract each other."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Margins = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


def average_linkage(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    margins: NDArray[np.float64],
    cameras: NDArray[np.int64],
    margins_of: Margins,
) -> list[int]:
    """Merge the two groups with the largest mean margin while one is above 0.

    Groups start as single proxies. The mean is over all pairs between two groups, exactly rounded; groups with a
    common camera are never merged; ties go to the groups whose lowest proxies, the smaller first, have the lowest
    numbers. A mean above 0 needs one pair above 0, so only groups with such a pair are looked at.

    Args:
        first, second: (P,) int64, all cross-camera pairs with a margin above 0, each once.
        margins: (P,) float64, theirs.
        cameras: (N,) int64, not negative.
        margins_of: the margins of other pairs, (n,) float64 from two (n,) int64.

    Returns:
        For each of the N proxies the lowest of its group.
    """
    groups = _Groups(cameras, margins_of)
    for a, b, value in zip(first.tolist(), second.tolist(), margins.tolist(), strict=True):
        groups.connect(a, b, [value], [])
    while pair := groups.best_pair():
        groups.merge(*pair)
    return groups.roots()


class _Link(NamedTuple):
    """What is known of the pairs of proxies between two groups."""

    margins: list[float]  # all that are above 0, and some others
    unasked: list[tuple[int, int]]  # the other pairs


class _Groups:
    """Groups of proxies, each under a number of its own that changes when it grows."""

    def __init__(self, cameras: NDArray[np.int64], margins_of: Margins) -> None:
        self.margins_of = margins_of
        self.total = self.next = len(cameras)
        self.members = {proxy: [proxy] for proxy in range(self.total)}  # in rising order
        self.cameras = {proxy: 1 << camera for proxy, camera in enumerate(cameras.tolist())}  # one bit per camera
        self.links: dict[int, dict[int, _Link]] = {proxy: {} for proxy in range(self.total)}
        self.queue: list[tuple[float, int, int, int, int]] = []  # may hold groups that are gone

    def connect(self, g: int, h: int, margins: list[float], unasked: list[tuple[int, int]]) -> None:
        """Take note of two groups that may be merged.

        Margins not asked for yet count as 0, which none of them exceeds: most of these groups will never come up.
        """
        self.links[g][h] = self.links[h][g] = _Link(margins, unasked)
        mean = math.fsum(margins) / (len(margins) + len(unasked))  # exact, whatever the order of merges was
        if mean > 0:
            low, high = self.members[g][0], self.members[h][0]
            heapq.heappush(self.queue, (-mean, min(low, high), max(low, high), g, h))

    def best_pair(self) -> tuple[int, int] | None:
        """The two groups to be merged next."""
        while self.queue:
            *_, g, h = heapq.heappop(self.queue)
            if g in self.members and h in self.members:
                margins, unasked = self.links[g][h]
                if not unasked:
                    return g, h
                a, b = np.array(unasked).T
                self.connect(g, h, margins + self.margins_of(a, b).tolist(), [])
        return None

    def merge(self, g: int, h: int) -> None:
        """Replace two groups by one."""
        merged, self.next = self.next, self.next + 1
        parts = [(self.members.pop(part), self.links.pop(part)) for part in (g, h)]
        self.members[merged] = sorted(parts[0][0] + parts[1][0])
        self.cameras[merged] = self.cameras.pop(g) | self.cameras.pop(h)
        self.links[merged] = {}
        for other in parts[0][1].keys() | parts[1][1].keys():
            if other in (g, h):
                continue
            for part in (g, h):
                self.links[other].pop(part, None)
            if self.cameras[other] & self.cameras[merged]:
                continue
            margins, unasked = [], []
            for members, links in parts:
                if other in links:
                    margins += links[other].margins
                    unasked += links[other].unasked
                else:
                    unasked += [(a, b) for a in members for b in self.members[other]]
            self.connect(merged, other, margins, unasked)

    def roots(self) -> list[int]:
        """The lowest proxy of each proxy's group."""
        root = [0] * self.total
        for members in self.members.values():
            for proxy in members:
                root[proxy] = members[0]
        return root
