"""What can be said of an association without knowing who anybody is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.utils.camera_moments import without_cameras

MARGIN_PROXIES = 2048
"""The mean margin is that of whole groups until so many proxies are looked at, groups spread over all of them."""

_ROWS = 256


class GroupFacts(NamedTuple):
    """Groups are pseudo identities of at least two proxies.

    Attributes:
        groups: how many.
        sizes: number of groups by their number of proxies.
        grouped: share of all proxies that are in a group.
        mean_margin: of cross-camera pairs inside groups, as the association ``margin`` has it; above 0 where the two
            are, on balance, each other's best match. None without groups or features.
        stability: of cross-camera pairs that are in one group now or were before, the share that is both. None for
            the first association, and where there is no pair.
    """

    groups: int
    sizes: dict[int, int]
    grouped: float
    mean_margin: float | None
    stability: float | None

    def __str__(self) -> str:
        """A part of a line of a log."""
        sizes = ", ".join(f"{count} of {size}" for size, count in self.sizes.items())
        words = f"{self.groups} groups with {self.grouped:.1%} of the proxies"
        words += f", sizes {sizes}" if sizes else ""
        words += f"; mean margin {self.mean_margin:.3f}" if self.mean_margin is not None else ""
        return words + (f"; {self.stability:.1%} of the pairs stayed" if self.stability is not None else "")


def group_facts(pseudo: Tensor, cameras: Tensor, features: Tensor | None, before: Tensor | None) -> GroupFacts:
    """Describes an association.

    Args:
        pseudo: (N,) int64, pseudo identity of each proxy, -1 for none.
        cameras: (N,) int64.
        features: (N, D) float, unit rows, of the proxies; None: no margin.
        before: (N,) int64, an earlier association of the same proxies; None: no stability.
    """
    counts = pseudo[pseudo >= 0].unique(return_counts=True)[1]
    counts = counts[counts > 1]
    sizes, how_many = counts.unique(return_counts=True)
    return GroupFacts(
        groups=len(counts),
        sizes=dict(zip(sizes.tolist(), how_many.tolist(), strict=True)),
        grouped=int(counts.sum()) / len(pseudo) if len(pseudo) else 0.0,
        mean_margin=None if features is None else _mean_margin(pseudo.numpy(), cameras.numpy(), features.cpu().numpy()),
        stability=None if before is None else stability(pseudo, before, cameras),
    )


def stability(pseudo: Tensor, before: Tensor, cameras: Tensor) -> float | None:
    """Jaccard index of the cross-camera pairs of two associations; counted per group, so no pair is ever listed."""
    now, then = _pairs(cameras, pseudo), _pairs(cameras, before)
    both = _pairs(cameras, pseudo, before)
    union = now + then - both
    return both / union if union else None


def _pairs(cameras: Tensor, *groups: Tensor) -> int:
    """Cross-camera pairs that are together in each of the associations."""
    kept = torch.stack(groups).min(dim=0).values >= 0
    labels = [group[kept] for group in groups]
    return _equal(*labels) - _equal(cameras[kept], *labels)


def _equal(*labels: Tensor) -> int:
    counts = torch.stack(labels, dim=1).unique(dim=0, return_counts=True)[1]
    return int((counts * (counts - 1)).sum()) // 2


def _mean_margin(pseudo: NDArray[np.int64], cameras: NDArray[np.int64], features: NDArray[np.floating]) -> float | None:
    """Mean of 2 s(a, b) - m(a, camera of b) - m(b, camera of a) over pairs in the groups that are looked at."""
    order = np.argsort(pseudo, kind="stable")
    order = order[pseudo[order] >= 0]
    groups = [group for group in np.split(order, np.flatnonzero(np.diff(pseudo[order])) + 1) if len(group) > 1]
    step = max(1, -(-sum(map(len, groups)) // MARGIN_PROXIES))
    groups = groups[::step]
    if not groups:
        return None
    camera = np.unique(cameras, return_inverse=True)[1]
    unit = without_cameras(features, camera)
    rows = np.concatenate(groups)
    place = {proxy: index for index, proxy in enumerate(rows.tolist())}
    best = _means_of_two(unit, camera, rows)
    margins = []
    for group in groups:
        cosine = unit[group] @ unit[group].T
        index = [place[proxy] for proxy in group.tolist()]
        for i, j in zip(*np.triu_indices(len(group), 1), strict=True):
            a, b = camera[group[i]], camera[group[j]]
            if a != b:
                margins.append(2 * cosine[i, j] - best[index[i], b] - best[index[j], a])
    return float(np.mean(margins)) if margins else None


def _means_of_two(unit: NDArray[np.float64], camera: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(len(rows), C) mean of the two highest cosines of each row among the proxies of each camera, itself left out."""
    members = [np.flatnonzero(camera == number) for number in range(camera.max() + 1)]
    means = np.zeros((len(rows), len(members)))
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        cosines = unit[part] @ unit.T
        cosines[np.arange(len(part)), part] = -np.inf
        for number, proxies in enumerate(members):
            found = cosines[:, proxies]
            top = np.partition(found, max(len(proxies) - 2, 0), axis=1)[:, -2:]
            # With a single candidate, its cosine: such a camera gives no evidence.
            means[start : start + len(part), number] = np.where(
                np.isfinite(top).all(axis=1), top.mean(axis=1), top.max(axis=1)
            )
    return means
