"""Association by margins: proxies match as far as each is the other's best match in its camera. No rate to choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.association.best_matches import best_matches, cosines
from ccafl_plugin.association.linkage import average_linkage
from ccafl_plugin.association.registry import number_groups, register_association

SHRINKAGE = 2  # proxies' worth of the whole set's statistics that each camera's are mixed with


@register_association("margin")
def margin(features: Tensor, cameras: Tensor) -> Tensor:
    """Pseudo identities from margins between best matches and runners-up.

    1. Features are standardised per camera (:func:`standardise`) and scaled to unit length; s(a, b) is their cosine.
    2. m(a, c) is the mean of a's two highest cosines among the proxies of camera c. Where c has a single proxy, it is
       the cosine with this one: such a camera gives no evidence.
    3. margin(a, b) = 2 s(a, b) - m(a, camera of b) - m(b, camera of a). It is above 0 only where the two are, on
       balance, each other's best match in the other's camera.
    4. Pseudo identities are the groups that average linkage of the margins finds while a mean is above 0, no group
       with two proxies of one camera (:func:`~ccafl_plugin.association.linkage.average_linkage`).

    All numbers are those of float64, the same for equal features wherever they stand. Time grows with N^2, memory
    with N times the number of cameras.

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
    """Take each camera's mean and variance out of its features, small cameras' pulled towards those of all.

    With mean mu and variance s2 of all features, mu_c and s2_c of the n of camera c: x becomes
    (x - mu_c') / sqrt(s2_c' + 1e-12), scaled to length 1, with mu_c' = (n mu_c + 2 mu) / (n + 2) and s2_c' alike.

    Args:
        features: (N, D) float, N > 0.
        camera: (N,) int64.

    Returns:
        (N, D) float64 of length 1; a row without anything left stays 0.
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
