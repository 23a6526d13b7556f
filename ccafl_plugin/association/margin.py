"""Association by margins: two proxies match if each is the other's best match in its camera. It needs no rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.association.best_matches import best_matches, cosines
from ccafl_plugin.association.linkage import average_linkage
from ccafl_plugin.association.registry import number_groups, register_association

SHRINKAGE = 2  # weight, in proxies, of the whole set's statistics when they are mixed with those of a camera


@register_association("margin")
def margin(features: Tensor, cameras: Tensor) -> Tensor:
    """Pseudo identities from the margins between best matches and second-best matches.

    1. Features are standardised per camera (:func:`standardise`) and scaled to unit length; s(a, b) is their cosine.
    2. m(a, c) is the mean of a's two highest cosines among the proxies of camera c. If c has a single proxy, m(a, c) is
       the cosine with this proxy: such a camera gives no evidence.
    3. margin(a, b) = 2 s(a, b) - m(a, camera of b) - m(b, camera of a). It is above 0 only if the two are, on balance,
       each other's best match in the other's camera.
    4. Pseudo identities are the groups that average linkage of the margins finds while a mean is above 0. No group has
       two proxies of one camera (:func:`~ccafl_plugin.association.linkage.average_linkage`).

    All numbers are float64 and do not depend on the order of the proxies. Time grows with N^2, memory with N times the
    number of cameras.

    Args:
        features: (N, D) float, normalised mean feature of each proxy.
        cameras: (N,) int64.

    Returns:
        (N,) int64 as :func:`~ccafl_plugin.association.registry.associate` describes.
    """
    if len(cameras) == 0:
        return cameras.clone()
    camera = np.unique(cameras.numpy(), return_inverse=True)[1]
    unit = standardise(features.numpy(), camera)
    best = best_matches(unit, camera)

    def margins(a: NDArray[np.int64], b: NDArray[np.int64], cosine: NDArray[np.float64]) -> NDArray[np.float64]:
        return 2 * cosine - (best.mean_of_two[a, camera[b]] + best.mean_of_two[b, camera[a]])

    value = margins(best.a, best.b, best.cosine)
    first, second = np.sort([best.a, best.b], axis=0)
    once = np.unique(first * len(camera) + second, return_index=True)[1]  # many pairs are best matches on both sides
    kept = once[value[once] > 0]
    groups = average_linkage(
        first[kept], second[kept], value[kept], camera, lambda a, b: margins(a, b, cosines(unit, a, b))
    )
    return number_groups(groups)


def standardise(features: NDArray[np.floating], camera: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standardises features with the mean and variance of their camera, mixed with those of all cameras.

    All features have mean mu and variance s2; the n features of camera c have mu_c and s2_c. x becomes
    (x - mu_c') / sqrt(s2_c' + 1e-12), scaled to length 1. Here mu_c' = (n mu_c + 2 mu) / (n + 2), and s2_c' likewise.

    Args:
        features: (N, D) float, N > 0.
        camera: (N,) int64.

    Returns:
        (N, D) float64, rows of length 1; a row that becomes 0 stays 0.
    """
    x = features.astype(np.float64)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    for c in np.unique(camera):
        members = np.flatnonzero(camera == c)
        own, n = x[members], len(members)
        centre = (n * own.mean(axis=0) + SHRINKAGE * mean) / (n + SHRINKAGE)
        spread = (n * own.var(axis=0) + SHRINKAGE * variance) / (n + SHRINKAGE)
        own -= centre
        own /= np.sqrt(spread + 1e-12)
        length = np.sqrt(np.square(own).sum(axis=1, keepdims=True))
        x[members] = own / np.where(length > 0, length, 1)
    return x
