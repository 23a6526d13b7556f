"""Average linkage of proxies. It never merges two proxies of one camera and needs only pairs with a margin above 0."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.utils.progress import Progress

Margins = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


def average_linkage(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    margins: NDArray[np.float64],
    cameras: NDArray[np.int64],
    margins_of: Margins,
) -> list[int]:
    """Repeatedly merges the two groups with the largest mean margin, as long as it is above 0.

    Groups start as single proxies. The mean is over all pairs between two groups, exactly rounded. Groups with a common
    camera are never merged. On ties, the groups whose lowest proxies have the lowest numbers (the smaller number first)
    are merged. A mean above 0 needs one pair above 0, so only groups with such a pair are considered.

    Args:
        first, second: (P,) int64, all cross-camera pairs with a margin above 0, each once.
        margins: (P,) float64, the margins of these pairs.
        cameras: (N,) int64, not negative.
        margins_of: computes the margins of other pairs: takes two (n,) int64, returns (n,) float64.

    Returns:
        For each of the N proxies, the lowest proxy of its group.
    """
    groups = _Groups(cameras, margins_of)
    for a, b, value in zip(first.tolist(), second.tolist(), margins.tolist(), strict=True):
        groups.connect(a, b, [value], [])
    most = len(cameras) - int(np.bincount(cameras).max(initial=0))  # a group has one proxy of a camera at most
    with Progress(most, "possible merges", "Grouping") as progress:
        while pair := groups.best_pair():
            groups.merge(*pair)
            progress.add(1)
    return groups.roots()


class _Link(NamedTuple):
    """The pairs of proxies between two groups."""

    margins: list[float]  # the margins computed so far, among them all that are above 0
    unasked: list[tuple[int, int]]  # the pairs whose margin is not computed yet


class _Groups:
    """Groups of proxies. Each has a number; a merged group gets a new one."""

    def __init__(self, cameras: NDArray[np.int64], margins_of: Margins) -> None:
        self.margins_of = margins_of
        self.total = self.next = len(cameras)
        self.members = {proxy: [proxy] for proxy in range(self.total)}  # ascending
        self.cameras = {proxy: 1 << camera for proxy, camera in enumerate(cameras.tolist())}  # one bit per camera
        self.links: dict[int, dict[int, _Link]] = {proxy: {} for proxy in range(self.total)}
        self.queue: list[tuple[float, int, int, int, int]] = []  # may contain groups that were merged since

    def connect(self, g: int, h: int, margins: list[float], unasked: list[tuple[int, int]]) -> None:
        """Records two groups that may be merged.

        A margin that is not computed yet counts as 0, which is an upper bound of it. Most of these groups are never the
        best pair, so their margins are never computed.
        """
        self.links[g][h] = self.links[h][g] = _Link(margins, unasked)
        mean = math.fsum(margins) / (len(margins) + len(unasked))  # exact, so independent of the order of merges
        if mean > 0:
            low, high = self.members[g][0], self.members[h][0]
            heapq.heappush(self.queue, (-mean, min(low, high), max(low, high), g, h))

    def best_pair(self) -> tuple[int, int] | None:
        """The two groups to merge next; None if no mean is above 0."""
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
        """Replaces two groups by one."""
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
        """For each proxy, the lowest proxy of its group."""
        root = [0] * self.total
        for members in self.members.values():
            for proxy in members:
                root[proxy] = members[0]
        return root
