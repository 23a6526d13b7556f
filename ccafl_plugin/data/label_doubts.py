"""Labels that features contradict: somebody labelled twice in a camera, and a label that holds two people.

Nothing here knows a threshold of similarity: what is usual among the labels themselves is the measure, so half-good
features give few doubts rather than wrong ones. Doubts are for people to look at; nothing is changed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ccafl_plugin.data.proxies import ProxyLabels

FEWEST_IMAGES = 4
"""A label with fewer images is not asked whether it holds two people."""

STEPS = 20


class Doubt(NamedTuple):
    """One or two proxies to look at.

    Attributes:
        proxies: of one camera; one proxy if it may hold two people.
        similarity: cosine, between the two or between the two halves of the one.
        usual: what it is compared with.
        images: places in the training list: an image of each.
    """

    proxies: tuple[int, ...]
    similarity: float
    usual: float
    images: tuple[int, ...]


def centred(features: Tensor, labels: ProxyLabels) -> Tensor:
    """(M, D) unit rows without what all images of a camera have in common.

    Args:
        features: (M, D) float, of the training images in the order of their list.
        labels: of that list.
    """
    unit = F.normalize(features.double(), dim=1)
    means = torch.zeros(labels.num_cameras, unit.shape[1], dtype=unit.dtype)
    means.index_add_(0, labels.camera_of_image, unit)
    means /= labels.camera_of_image.bincount(minlength=labels.num_cameras)[:, None]
    return F.normalize(unit - means[labels.camera_of_image], dim=1)


def doubled_ids(features: Tensor, labels: ProxyLabels) -> list[Doubt]:
    """Pairs of ids of one camera that may be one person, the most alike first.

    Two ids are named if each is the other's nearest in its camera, and they are at least as alike as the two halves of
    an id (its images by path) are in three of four ids with two or more images.

    Args:
        features: (M, D) float, see :func:`centred`.
        labels: of the training list.
    """
    members = [torch.tensor(labels.images_of_proxy(proxy)) for proxy in range(labels.num_proxies)]
    halves = [m.tensor_split(2) for m in members if len(m) > 1]
    if not halves:
        return []
    usual = torch.stack([_mean(features[a]) @ _mean(features[b]) for a, b in halves]).quantile(0.25)
    means = torch.stack([_mean(features[m]) for m in members])
    doubts = []
    for camera in range(labels.num_cameras):
        first, count = int(labels.offsets[camera]), int(labels.proxies_per_camera[camera])
        if count < 2:
            continue
        cosine = means[first : first + count] @ means[first : first + count].T
        cosine.fill_diagonal_(-2)
        value, nearest = cosine.max(dim=1)
        for a, b in enumerate(nearest.tolist()):
            if a < b and nearest[b] == a and value[a] >= usual:
                pair = (first + a, first + b)
                shown = tuple(int(members[proxy][len(members[proxy]) // 2]) for proxy in pair)
                doubts.append(Doubt(pair, float(value[a]), float(usual), shown))
    return sorted(doubts, key=lambda doubt: -doubt.similarity)


def mixed_ids(features: Tensor, labels: ProxyLabels) -> list[Doubt]:
    """Ids that may hold two people, the least alike first.

    An id's images are parted into two clusters. It is named if both hold two images or more and their means are less
    alike than somebody and the most similar other person of the camera usually are: the median over all ids.

    Args:
        features: (M, D) float, see :func:`centred`.
        labels: of the training list.
    """
    means = torch.stack([_mean(features[list(labels.images_of_proxy(p))]) for p in range(labels.num_proxies)])
    neighbours = []
    for camera in range(labels.num_cameras):
        first, count = int(labels.offsets[camera]), int(labels.proxies_per_camera[camera])
        if count > 1:
            cosine = means[first : first + count] @ means[first : first + count].T
            neighbours.append(cosine.fill_diagonal_(-2).max(dim=1).values)
    if not neighbours:
        return []
    usual = torch.cat(neighbours).median()
    doubts = []
    for proxy in range(labels.num_proxies):
        images = torch.tensor(labels.images_of_proxy(proxy))
        if len(images) < FEWEST_IMAGES:
            continue
        second = _two_clusters(features[images])
        if min(int(second.sum()), int((~second).sum())) < 2:
            continue
        parts = (images[~second], images[second])
        similarity = _mean(features[parts[0]]) @ _mean(features[parts[1]])
        if similarity < usual:
            shown = tuple(int(part[len(part) // 2]) for part in parts)
            doubts.append(Doubt((proxy,), float(similarity), float(usual), shown))
    return sorted(doubts, key=lambda doubt: doubt.similarity)


def _mean(rows: Tensor) -> Tensor:
    return F.normalize(rows.mean(dim=0), dim=0)


def _two_clusters(rows: Tensor) -> Tensor:
    """(n,) bool: spherical 2-means, begun with the two rows that are least alike."""
    cosine = rows @ rows.T
    a, b = divmod(int(cosine.argmin()), len(rows))
    second = cosine[:, b] > cosine[:, a]
    for _ in range(STEPS):
        if not bool(second.any()) or bool(second.all()):
            break
        moved = rows @ _mean(rows[second]) > rows @ _mean(rows[~second])
        if bool((moved == second).all()):
            break
        second = moved
    return second
