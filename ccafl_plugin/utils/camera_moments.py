"""Mean and variance of each camera's features, a small camera's pulled towards those of all images.

What the association ``margin`` starts with, ``nearest_pairs`` may start with, and a test can be made with (Song et al.,
"Exploring the Camera Bias of Person Re-identification", ICLR 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.utils.errors import unknown_name

MODES = ("mean", "mean_std")
"""What is taken out of a camera's features: its mean, or its mean and its standard deviation."""
TEST_MODES = (*MODES, "erase")
"""What a test may take out: also the directions along which the cameras' means differ, of every feature."""
STRENGTH = 2
"""Images' worth of the statistics of all that each camera's are mixed with."""
FLOOR = 1e-12
"""Added to a variance before its root, and the largest that images as none."""


class Moments(NamedTuple):
    """Of a set of features, dimension by dimension, float64."""

    images: int
    mean: NDArray[np.float64]  # (D,)
    variance: NDArray[np.float64]  # (D,) of the whole set, not an estimate from a sample


def moments(features: NDArray[np.floating]) -> Moments:
    """Mean and variance of (n, D) features, n > 0, in float64."""
    wide = features.astype(np.float64, copy=False)
    return Moments(len(wide), wide.mean(axis=0), wide.var(axis=0))


def united(parts: Sequence[Moments]) -> Moments:
    """The moments of all parts' features together, without the features.

    The variance is the mean of the parts' variances plus the variance of their means, each part counted by its size.
    """
    images = np.array([part.images for part in parts])
    shares = (images / images.sum())[:, None]
    means = np.stack([part.mean for part in parts])
    mean = (shares * means).sum(axis=0)
    spread = np.stack([part.variance for part in parts]) + np.square(means - mean)
    return Moments(int(images.sum()), mean, (shares * spread).sum(axis=0))


def pulled(own: Moments, everything: Moments) -> Moments:
    """A camera's moments, pulled towards those of all images: (n own + 2 all) / (n + 2), for mean and variance alike.

    With many images the camera's own are left as they are; with one image, two thirds of the mean are that of all, and
    the variance, of which a single image has none, is two thirds of that of all.
    """
    n = own.images
    mean = (n * own.mean + STRENGTH * everything.mean) / (n + STRENGTH)
    variance = (n * own.variance + STRENGTH * everything.variance) / (n + STRENGTH)
    return Moments(n, mean, variance)


def without(features: NDArray[np.float64], of: Moments, mode: str) -> NDArray[np.float64]:
    """x - mean, in mode ``mean_std`` divided by sqrt(variance + 1e-12), in place."""
    features -= of.mean
    if mode == "mean_std":
        features /= np.sqrt(of.variance + FLOOR)
    return features


def directions_between(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the means of C cameras span around their own mean.

    Args:
        means: (C, D) float64, C > 0.

    Returns:
        The mean of the means, (D,), and an orthonormal basis, (r, D), of the differences to it; r is at most C - 1,
        and 0 for means that are equal.
    """
    centre = means.mean(axis=0)
    differences = means - centre
    _, sizes, basis = np.linalg.svd(differences, full_matrices=False)
    # The differences sum up to 0, so that the last of C directions is rounding.
    clear = sizes > 1e-9 * np.sqrt(np.square(means).sum(axis=1).max(initial=0))
    return centre, basis[: len(means) - 1][clear[: len(means) - 1]]


def without_directions(
    features: NDArray[np.float64], centre: NDArray[np.float64], basis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """x - centre without its part along the basis, in place; the same for every image, whatever its camera."""
    features -= centre
    features -= (features @ basis.T) @ basis
    return features


def scaled_to_unit_length(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1, in place; a row of zeros stays one."""
    length = np.sqrt(np.square(features).sum(axis=1, keepdims=True))
    features /= np.where(length > 0, length, 1)
    return features


def without_cameras(
    features: NDArray[np.floating], camera: NDArray[np.int64], mode: str = "mean_std"
) -> NDArray[np.float64]:
    """Takes each camera's mean, or its mean and standard deviation, out of its features.

    All features have mean mu and variance s2; the n features of camera c have mu_c and s2_c. x becomes
    (x - mu_c') / sqrt(s2_c' + 1e-12), scaled to length 1. Here mu_c' = (n mu_c + 2 mu) / (n + 2), and s2_c' likewise.
    In mode ``mean`` the difference is not divided.

    Args:
        features: (N, D) float, N > 0.
        camera: (N,) int64.
        mode: ``mean`` or ``mean_std``.

    Returns:
        (N, D) float64, rows of length 1; a row that becomes 0 stays 0.
    """
    x = features.astype(np.float64)
    everything = moments(x)
    for c in np.unique(camera):
        members = np.flatnonzero(camera == c)
        own = x[members]
        x[members] = scaled_to_unit_length(without(own, pulled(moments(own), everything), mode))
    return x


def check_mode(what: str, mode: str, modes: Sequence[str] = MODES) -> None:
    """Raises a CCAFLError for a mode that is none of ``modes``."""
    if mode not in modes:
        raise unknown_name(what, mode, modes)
