"""The paper's cross-camera association: walk the nearest pairs, one partner per camera."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from torch import Tensor

from ccafl_plugin.association.closest import closest_pairs
from ccafl_plugin.association.registry import number_groups, register_association
from ccafl_plugin.utils.ranges import check_arguments


@register_association("nearest_pairs")
def nearest_pairs(features: Tensor, cameras: Tensor, rate: float = 1.7) -> Tensor:
    """Pseudo identities from the ``floor(rate * N)`` nearest cross-camera pairs of proxies.

    The pairs are walked from the nearest (squared Euclidean distance in float64, as
    :func:`~ccafl_plugin.association.closest.closest_pairs` computes it; ties by the proxies' numbers). A pair is
    accepted unless one of the two already has, by an accepted pair of its own, a partner in the other's camera.
    Pseudo identities are the connected components of the accepted pairs; through a chain they may hold two
    proxies of one camera.

    Args:
        features: (N, D) float, normalised mean feature of each proxy.
        cameras: (N,) int64.
        rate: R, pairs looked at per proxy; 1.7 for Market-1501, 1.5 DukeMTMC-reID, 1.3 MSMT17.

    Returns:
        (N,) int64 as :func:`~ccafl_plugin.association.registry.associate` describes.

    Raises:
        CCAFLError: the rate is negative or not finite.
    """
    check_arguments(rate=rate)
    pairs = closest_pairs(features.numpy(), cameras.numpy(), pairs_to_look_at(rate, len(features)))
    accepted = one_partner_per_camera(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), cameras.tolist())
    return number_groups(connect(accepted, len(features)))


def pairs_to_look_at(rate: float, num_proxies: int) -> int:
    """floor(rate * num_proxies) of the rate as it is written: 0.29 * 100 is 29, though not in binary."""
    return math.floor(Fraction(str(float(rate))) * num_proxies)


def one_partner_per_camera(pairs: Iterable[tuple[int, int]], cameras: list[int]) -> list[tuple[int, int]]:
    """The pairs that are accepted when walked in their order."""
    partnered: set[tuple[int, int]] = set()  # (proxy, camera in which it has a partner)
    accepted = []
    for a, b in pairs:
        from_a, from_b = (a, cameras[b]), (b, cameras[a])
        if from_a not in partnered and from_b not in partnered:
            partnered.update((from_a, from_b))
            accepted.append((a, b))
    return accepted


def connect(pairs: Iterable[tuple[int, int]], total: int) -> list[int]:
    """For each of ``total`` elements the lowest element that pairs connect it to, itself included."""
    parent = list(range(total))

    def root(element: int) -> int:
        while parent[element] != element:
            parent[element] = parent[parent[element]]  # halves the way for whoever comes next
            element = parent[element]
        return element

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(element) for element in range(total)]
