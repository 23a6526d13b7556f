"""Association by margins: two proxies match if each is the other's best match in its camera. It needs no rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.association.best_matches import BEST, best_matches, cosines
from ccafl_plugin.association.linkage import average_linkage
from ccafl_plugin.association.registry import number_groups, register_association
from ccafl_plugin.utils.camera_moments import without_cameras
from ccafl_plugin.utils.ranges import check_arguments


@register_association("margin")
def margin(features: Tensor, cameras: Tensor, best: int = BEST) -> Tensor:
    """Pseudo identities from the margins between best matches and second-best matches.

    1. Features are standardised per camera and scaled to unit length
       (:func:`~ccafl_plugin.utils.camera_moments.without_cameras`); s(a, b) is their cosine.
    2. m(a, c) is the mean of a's ``best`` highest cosines among the proxies of camera c, of all if c has fewer. If c
       has a single proxy, m(a, c) is the cosine with this proxy: such a camera gives no evidence.
    3. margin(a, b) = 2 s(a, b) - m(a, camera of b) - m(b, camera of a). It is above 0 only if the two are, on balance,
       each other's best match in the other's camera.
    4. Pseudo identities are the groups that average linkage of the margins finds while a mean is above 0. No group has
       two proxies of one camera (:func:`~ccafl_plugin.association.linkage.average_linkage`).

    All numbers are float64 and do not depend on the order of the proxies. Time grows with N^2, memory with N times the
    number of cameras.

    Args:
        features: (N, D) float, normalised mean feature of each proxy.
        cameras: (N,) int64.
        best: number of highest cosines that a match has to exceed on average, at least 2. More find more pairs.

    Returns:
        (N,) int64 as :func:`~ccafl_plugin.association.registry.associate` describes.

    Raises:
        CCAFLError: ``best`` is below 2.
    """
    check_arguments(best=best)
    if len(cameras) == 0:
        return cameras.clone()
    camera = np.unique(cameras.numpy(), return_inverse=True)[1]
    unit = without_cameras(features.numpy(), camera)
    found = best_matches(unit, camera, best)

    def margins(a: NDArray[np.int64], b: NDArray[np.int64], cosine: NDArray[np.float64]) -> NDArray[np.float64]:
        return 2 * cosine - (found.mean[a, camera[b]] + found.mean[b, camera[a]])

    value = margins(found.a, found.b, found.cosine)
    first, second = np.sort([found.a, found.b], axis=0)
    once = np.unique(first * len(camera) + second, return_index=True)[1]  # many pairs are best matches on both sides
    kept = once[value[once] > 0]
    groups = average_linkage(
        first[kept], second[kept], value[kept], camera, lambda a, b: margins(a, b, cosines(unit, a, b))
    )
    return number_groups(groups)
