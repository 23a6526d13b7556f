"""The paper's cross-camera association: it accepts the nearest pairs, with at most one partner per camera."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.association.closest import closest_pairs
from ccafl_plugin.association.registry import number_groups, register_association
from ccafl_plugin.utils.camera_moments import MODES, check_mode, without_cameras
from ccafl_plugin.utils.ranges import check_arguments


@register_association("nearest_pairs")
def nearest_pairs(features: Tensor, cameras: Tensor, rate: float = 1.7, camera_normalization: str = "none") -> Tensor:
    """Pseudo identities from the ``floor(rate * N)`` nearest cross-camera pairs of proxies.

    The pairs are visited from the nearest on (squared Euclidean distance in float64, as
    :func:`~ccafl_plugin.association.closest.closest_pairs` computes it; ties by the proxies' numbers). A pair is
    accepted unless one of its two proxies already has an accepted partner in the other's camera. Pseudo identities are
    the connected components of the accepted pairs. Through a chain of pairs, a component may contain two proxies of one
    camera.

    Args:
        features: (N, D) float, normalised mean feature of each proxy.
        cameras: (N,) int64.
        rate: R, number of pairs considered per proxy; 1.7 for Market-1501, 1.5 DukeMTMC-reID, 1.3 MSMT17.
        camera_normalization: ``none`` in the paper; with ``mean`` or ``mean_std`` each camera's mean, or mean and
            standard deviation, is taken out of its proxies' features first, as ``margin`` does.

    Returns:
        (N,) int64 as :func:`~ccafl_plugin.association.registry.associate` describes.

    Raises:
        CCAFLError: the rate is negative or not finite; an unknown normalisation.
    """
    check_arguments(rate=rate)
    check_mode("option 'camera_normalization' of association 'nearest_pairs'", camera_normalization, ["none", *MODES])
    rows: NDArray[np.floating] = features.numpy()
    if camera_normalization != "none" and len(rows):
        rows = without_cameras(rows, cameras.numpy(), camera_normalization)
    pairs = closest_pairs(rows, cameras.numpy(), pairs_to_look_at(rate, len(features)))
    accepted = one_partner_per_camera(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), cameras.tolist())
    return number_groups(connect(accepted, len(features)))


def pairs_to_look_at(rate: float, num_proxies: int) -> int:
    """floor(rate * num_proxies) with the decimal value of the rate: 0.29 * 100 gives 29, in binary it would give 28."""
    return math.floor(Fraction(str(float(rate))) * num_proxies)


def one_partner_per_camera(pairs: Iterable[tuple[int, int]], cameras: list[int]) -> list[tuple[int, int]]:
    """The accepted pairs, when pairs are visited in the given order."""
    partnered: set[tuple[int, int]] = set()  # (proxy, camera in which it has a partner)
    accepted = []
    for a, b in pairs:
        from_a, from_b = (a, cameras[b]), (b, cameras[a])
        if from_a not in partnered and from_b not in partnered:
            partnered.update((from_a, from_b))
            accepted.append((a, b))
    return accepted


def connect(pairs: Iterable[tuple[int, int]], total: int) -> list[int]:
    """For each of ``total`` elements, the lowest element of its connected component."""
    parent = list(range(total))

    def root(element: int) -> int:
        while parent[element] != element:
            parent[element] = parent[parent[element]]  # halves the path for later look-ups
            element = parent[element]
        return element

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(element) for element in range(total)]
