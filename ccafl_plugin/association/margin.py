"""Association by margins: two proxies match if each is the other's best match in its camera. It needs no rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.association.best_matches import BEST, BestMatches, best_matches, cosines
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
    if len(cameras) == 0:
        check_arguments(best=best)
        return cameras.clone()
    return Margins.of(features, cameras, best).groups()


@dataclass(frozen=True)
class Margins:
    """What margins are computed from.

    Attributes:
        unit: (N, D) float64, features standardised per camera, rows of length 1 (or 0).
        camera: (N,) int64, cameras numbered from 0.
        found: the best matches of each proxy in every camera.
    """

    unit: NDArray[np.float64]
    camera: NDArray[np.int64]
    found: BestMatches

    @classmethod
    def of(cls, features: Tensor, cameras: Tensor, best: int = BEST) -> Margins:
        """Finds the best matches exactly; arguments as in :func:`margin`, with at least one proxy."""
        check_arguments(best=best)
        unit, camera = standardised(features, cameras)
        return cls(unit, camera, best_matches(unit, camera, best))

    def between(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """(P,) margins of pairs of proxies of different cameras, (P,) int64 each."""
        return self.of_cosines(a, b, cosines(self.unit, a, b))

    def groups(self) -> Tensor:
        """(N,) int64, the pseudo identities."""
        found, camera = self.found, self.camera
        value = self.of_cosines(found.a, found.b, found.cosine)
        first, second = np.sort([found.a, found.b], axis=0)
        once = np.unique(first * len(camera) + second, return_index=True)[1]  # many are best matches on both sides
        kept = once[value[once] > 0]
        return number_groups(average_linkage(first[kept], second[kept], value[kept], camera, self.between))

    def of_cosines(
        self, a: NDArray[np.int64], b: NDArray[np.int64], cosine: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(P,) margins of pairs whose cosines are known."""
        mean, camera = self.found.mean, self.camera
        return 2 * cosine - (mean[a, camera[b]] + mean[b, camera[a]])


def standardised(features: Tensor, cameras: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features without their cameras (step 1 of :func:`margin`), and cameras numbered from 0."""
    camera = np.unique(cameras.numpy(), return_inverse=True)[1].astype(np.int64, copy=False)
    return without_cameras(features.numpy(), camera), camera
