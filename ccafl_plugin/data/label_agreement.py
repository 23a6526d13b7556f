"""Images whose features contradict their label inside the camera, found without a threshold that somebody has to set.

An image with a right label is more similar to the other images of its label than to nearly all other people of its
camera. For an image with a wrong label, its label is any person: the rank of this person among all of the camera is
uniform. So the number of images in the lower half of the ranks estimates how many labels are wrong (Storey, "A direct
approach to false discovery rates", JRSS B 2002), and this estimate says how probably a label of a rank is wrong.
Neighbours in the feature space of an encoder that was trained elsewhere find wrong labels before training can memorise
them (Zhu, Dong, Liu, "Detecting corrupted labels without training a model to predict", ICML 2022).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LOWER_HALF = 0.5
"""Levels up to this one estimate the share of wrong labels; there, right labels are rare."""

MOST_WRONG = 0.5
"""From this share on, labels and features have too little to do with each other for any image to be left out."""

COST_OF_WRONG = 3
"""A wrong label that is used costs as much as so many right ones that are not."""

ROWS_AT_ONCE = 1024


class Agreement(NamedTuple):
    """How well the features agree with the label of each image.

    Attributes:
        level: (M,) float64 in (0, 1]: the share of the camera's proxies, the own included, that are not more similar
            to the image than its own is. Uniform for wrong labels, near 1 for right ones. 1 where nothing is known: for
            the only image of a proxy, and in a camera with one proxy.
        steps: (M,) int64, number of proxies that are compared, so the level is a multiple of 1 / steps; 0 where nothing
            is known.
    """

    level: Tensor
    steps: Tensor


class Doubts(NamedTuple):
    """Which images to use.

    Attributes:
        kept: (M,) bool.
        wrong_share: estimated share of wrong labels in [0, 1], among the images about which something is known.
    """

    kept: Tensor
    wrong_share: float


def centred_by_camera(features: Tensor) -> Tensor:
    """(n, D) float32, unit rows: features of one camera without their mean."""
    rows = features.float()
    return F.normalize(rows - rows.mean(0), dim=1)


@torch.no_grad()
def label_agreement(features: Tensor, proxies: Tensor, camera_of_proxy: Tensor) -> Agreement:
    """Compares the similarity of each image to its own proxy with those to the other proxies of its camera.

    The similarity to a proxy is that to its most similar image, other than the image itself, after the mean of the
    camera's features is taken out.

    Args:
        features: (M, D) float, unit rows, of the training images.
        proxies: (M,) int64, on the device of the features.
        camera_of_proxy: (N,) int64.
    """
    camera_of_proxy = camera_of_proxy.to(proxies.device)
    cameras = camera_of_proxy[proxies]
    level = torch.ones(len(proxies), dtype=torch.float64, device=features.device)
    steps = torch.zeros_like(proxies)
    for camera in cameras.unique().tolist():
        images = (cameras == camera).nonzero()[:, 0]
        present, local = proxies[images].unique(return_inverse=True)
        if len(present) == 1:
            continue
        rows = centred_by_camera(features[images])
        counts = local.bincount()
        for some in torch.arange(len(images), device=images.device).split(ROWS_AT_ONCE):
            similarity = rows[some] @ rows.T
            similarity[torch.arange(len(some), device=some.device), some] = -torch.inf
            nearest = similarity.new_full((len(some), len(present)), -torch.inf)
            nearest.scatter_reduce_(1, local.expand(len(some), -1), similarity, "amax")
            own = nearest.gather(1, local[some, None])
            rank = 1 + (nearest < own).sum(1)  # its own proxy and the less similar ones
            known = counts[local[some]] > 1
            level[images[some]] = torch.where(known, rank.double() / len(present), 1.0)
            steps[images[some]] = torch.where(known, len(present), 0)
    return Agreement(level, steps)


def wrong_share(agreement: Agreement) -> float:
    """Estimated share of wrong labels, in [0, 1]: images in the lower half over the number there if all were wrong."""
    known = agreement.steps > 0
    steps = agreement.steps[known]
    expected = float(((steps * LOWER_HALF).floor() / steps).sum())
    return min(1.0, int((agreement.level[known] <= LOWER_HALF).sum()) / expected) if expected else 0.0


def highest_level(agreement: Agreement, share: float) -> float:
    """The level up to which images are left out: ``3 * wrong - right`` labels left out is largest there.

    At this level one of four labels is wrong (a local false discovery rate of 1 / (1 + COST_OF_WRONG)).

    Args:
        agreement: see :func:`label_agreement`.
        share: share of wrong labels, in [0, 1].

    Returns:
        0 if leaving out any image would cost more right labels than wrong ones.
    """
    known = agreement.steps > 0
    levels, steps = agreement.level[known], agreement.steps[known]
    sizes, images = steps.unique(return_counts=True)
    candidates, count = levels.unique(return_counts=True)
    if not len(candidates):
        return 0.0
    # Of the wrong labels of a camera with n proxies, floor(level * n) / n lie at or below a level.
    below = ((candidates[:, None] * sizes + 1e-9).floor() / sizes * images).sum(1) * share
    gain = (COST_OF_WRONG + 1) * below - count.cumsum(0)
    best = int(gain.argmax())
    return float(candidates[best]) if float(gain[best]) > 0 else 0.0


def doubtful_labels(features: Tensor, proxies: Tensor, camera_of_proxy: Tensor) -> Doubts:
    """Leaves out the images whose labels are wrong too often.

    Every proxy keeps an image, the one that agrees best with its label (the first on ties). If half of the labels or
    more seem wrong, the features are not good enough to judge them, and every image is kept.

    Args:
        features: (M, D) float, unit rows, of the training images.
        proxies: (M,) int64, on the device of the features.
        camera_of_proxy: (N,) int64.
    """
    agreement = label_agreement(features, proxies, camera_of_proxy)
    share = wrong_share(agreement)
    if share >= MOST_WRONG:
        return Doubts(torch.ones_like(proxies, dtype=torch.bool), share)
    kept = agreement.level > highest_level(agreement, share)
    order = torch.argsort(agreement.level, descending=True, stable=True)
    order = order[torch.argsort(proxies[order], stable=True)]  # by proxy, the best image first
    first = torch.ones_like(kept)
    first[1:] = proxies[order[1:]] != proxies[order[:-1]]
    kept[order[first]] = True
    return Doubts(kept, share)
