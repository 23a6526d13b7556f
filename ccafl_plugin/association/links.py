"""What holds the groups of an association together, and how certain each part of it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.association.approximate_margin import approximate_margins
from ccafl_plugin.association.best_matches import cosines
from ccafl_plugin.association.margin import Margins
from ccafl_plugin.association.registry import checked

MARGINS: dict[str, Callable[..., Margins]] = {"margin": Margins.of, "approximate_margin": approximate_margins}
"""Associations whose groups are those of margins, and what finds these."""

LARGE = 256
"""Of larger groups, only pairs of which one is the other's best match are looked at."""


@dataclass(frozen=True)
class GroupLinks:
    """The links between the proxies of each group: of its cross-camera pairs, the tree with the largest margins.

    A link's confidence is its margin, as the association ``margin`` has it: 2 s(a, b) - m(a, camera of b) - m(b, camera
    of a), where m is the mean of a proxy's highest cosines in a camera. With the two highest, and a and b each other's
    best match, this is the cosine by which they exceed the next best, on average over the two sides. It is no
    probability. At or below 0, somebody else in one of the cameras is as similar.

    Attributes:
        first, second: (L,) int64, the proxies of each link, ``first < second``. A group of n has n - 1 links; a group
            of more than :data:`LARGE` proxies may have fewer.
        cosine: (L,) float64, of the standardised features.
        confidence: (L,) float64, the margins.
        of_proxy: (N,) float64, the mean margin of a proxy with those of its group from other cameras; NaN without any.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float64]
    confidence: NDArray[np.float64]
    of_proxy: NDArray[np.float64]


def associate_with_links(
    features: Tensor, cameras: Tensor, name: str = "margin", **options: object
) -> tuple[Tensor, GroupLinks]:
    """:func:`~ccafl_plugin.association.registry.associate`, and what holds the groups together.

    Associations by margins compute them with their own options and only once. For other associations they are computed
    as ``margin`` does with its defaults, which takes as long as ``margin``.

    Returns:
        (N,) int64 pseudo identities, and their links.

    Raises:
        CCAFLError: as ``associate`` does.
    """
    function, features, cameras = checked(features, cameras, name, options)
    if len(cameras) == 0:
        empty, none = np.zeros(0, dtype=np.int64), np.zeros(0)
        return cameras.clone(), GroupLinks(empty, empty, none, none, none)
    if name in MARGINS:
        margins = MARGINS[name](features, cameras, **options)
        pseudo = margins.groups()
    else:
        pseudo = function(features, cameras, **options)
        margins = Margins.of(features, cameras)
    return pseudo, links_of(pseudo, margins)


def links_of(pseudo: Tensor, margins: Margins) -> GroupLinks:
    """The links of groups.

    Args:
        pseudo: (N,) int64, pseudo identity of each proxy, -1 for none.
        margins: of the same proxies.
    """
    group = pseudo.numpy()
    a, b = _pairs_inside(group, margins)
    cosine = cosines(margins.unit, a, b)
    value = margins.of_cosines(a, b, cosine)
    total = len(group)
    count = np.bincount(a, minlength=total) + np.bincount(b, minlength=total)
    summed = np.bincount(a, value, minlength=total) + np.bincount(b, value, minlength=total)
    of_proxy = np.where(count > 0, summed / np.maximum(count, 1), np.nan)
    tree = _largest_tree(a, b, value, total)
    return GroupLinks(a[tree], b[tree], cosine[tree], value[tree], of_proxy)


def _pairs_inside(group: NDArray[np.int64], margins: Margins) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All cross-camera pairs inside groups, a < b; of large groups only best matches."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    found = [np.zeros((2, 0), dtype=np.int64)]
    for size in np.unique(sizes[sizes <= LARGE]).tolist():
        members = order[starts[sizes == size][:, None] + np.arange(size)]  # (groups of this size, size), ascending
        i, j = np.triu_indices(size, 1)
        found.append(np.stack([members[:, i].ravel(), members[:, j].ravel()]))
    is_large = np.zeros(len(group), dtype=bool)
    is_large[order[np.repeat(sizes > LARGE, sizes)]] = True
    matches = margins.found
    kept = is_large[matches.a] & (group[matches.a] == group[matches.b])
    both = np.sort(np.stack([matches.a[kept], matches.b[kept]]), axis=0)
    found.append(np.unique(both, axis=1))
    a, b = np.concatenate(found, axis=1)
    across = margins.camera[a] != margins.camera[b]
    return a[across], b[across]


def _largest_tree(
    a: NDArray[np.int64], b: NDArray[np.int64], value: NDArray[np.float64], total: int
) -> NDArray[np.int64]:
    """Positions of the pairs of the spanning forest with the largest values (Kruskal); ties by the pairs' numbers."""
    parent = list(range(total))

    def root(element: int) -> int:
        while parent[element] != element:
            parent[element] = parent[parent[element]]
            element = parent[element]
        return element

    kept = []
    for place in np.lexsort((b, a, -value)).tolist():
        low, high = sorted((root(int(a[place])), root(int(b[place]))))
        if low != high:
            parent[high] = low
            kept.append(place)
    return np.array(sorted(kept), dtype=np.int64)
