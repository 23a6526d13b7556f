"""Measures how well the camera can be predicted from a feature, which camera-agnostic features should not allow."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator

WEIGHT_DECAY = 0.1  # the optimum is unique and found in few steps, with more dimensions than images too
MAX_STEPS = 100
SMALLEST_DEVIATION = 1e-5  # beside the largest; numbers of a feature that vary less are not used


class CameraPredictability(NamedTuple):
    """Accuracy and chance; both are nan if fewer than two cameras can be evaluated."""

    accuracy: float  # share of images with a correctly predicted camera, mean over the cameras
    chance: float  # accuracy of a guess without the feature: 1 / number of cameras


def camera_predictability(
    features: Tensor, cameras: Tensor, persons: Tensor | None = None, seed: int = 1
) -> CameraPredictability:
    """Accuracy of a linear probe that predicts the camera from the feature.

    The images are split into two halves: by person if persons are given, otherwise within each camera. A probe learns
    from each half and is evaluated on the other. So every image is evaluated once, by a probe that has seen neither the
    image nor its person. Cameras without images in both halves are left out. All cameras count equally in training and
    in the accuracy, regardless of their number of images; a probe that learns nothing is right for one camera in C.

    The probe is multinomial logistic regression on standardised features with weight decay. It has one optimum, which
    L-BFGS finds from 0, so only the split is random. (Least squares on indicators would be shorter, but it can miss
    cameras that lie between others.)

    Args:
        features: (M, D) float, finite, on any device; the probe learns there, in float32.
        cameras: (M,) int64, any numbers.
        persons: (M,) int64; images with the same number are in the same half.
        seed: seed of the split.

    Returns:
        Accuracy and chance.

    Raises:
        CCAFLError: shapes that don't fit.
    """
    cameras = cameras.to(features.device)
    persons = None if persons is None else persons.to(features.device)
    if features.ndim != 2 or any(x is not None and x.shape != features.shape[:1] for x in (cameras, persons)):
        shapes = ", ".join(str(tuple(x.shape)) for x in (features, cameras, persons) if x is not None)
        raise CCAFLError(f"camera_predictability needs features (M, D), cameras (M,) and persons (M,), got {shapes}.")
    in_first = _halves(cameras, persons, seed)
    judged = torch.tensor(sorted(set(cameras[in_first].tolist()) & set(cameras[~in_first].tolist())))
    if len(judged) < 2:
        return CameraPredictability(math.nan, math.nan)
    kept = torch.isin(cameras, judged.to(cameras))
    features, in_first = features.detach()[kept].float(), in_first[kept]
    labels = torch.searchsorted(judged.to(cameras), cameras[kept])
    right = torch.zeros_like(labels, dtype=torch.float64)
    for learn in (in_first, ~in_first):
        predicted = _fit_and_predict(features[learn], labels[learn], features[~learn])
        right[~learn] = (predicted == labels[~learn]).double()
    return CameraPredictability(float((right * _equal_shares(labels)).sum()), 1 / len(judged))


def _halves(cameras: Tensor, persons: Tensor | None, seed: int) -> Tensor:
    """(M,) bool: a random half of the persons' images, or of each camera's."""
    if persons is not None:
        names, person = persons.unique(return_inverse=True)
        chosen = torch.randperm(len(names), generator=generator(seed, "camera probe")).to(persons.device)
        return (chosen < len(names) / 2)[person]
    shuffled = torch.randperm(len(cameras), generator=generator(seed, "camera probe")).to(cameras.device)
    by_camera = shuffled[cameras[shuffled].argsort(stable=True)]
    in_first = torch.zeros(len(cameras), dtype=torch.bool, device=cameras.device)
    in_first[by_camera[::2]] = True  # every second image of a camera
    return in_first


def _fit_and_predict(learned: Tensor, labels: Tensor, judged: Tensor) -> Tensor:
    """Labels of ``judged`` by logistic regression on ``learned``."""
    mean, deviation = learned.mean(dim=0), learned.std(dim=0, correction=0)
    # What varies by rounding only (a channel that never fires, less its mean) would be made as large as the rest, and
    # rounding differs from camera to camera.
    deviation = torch.where(deviation > SMALLEST_DEVIATION * deviation.max(), deviation, torch.inf)
    learned, judged = (learned - mean) / deviation, (judged - mean) / deviation
    shares = _equal_shares(labels).float()
    weight = learned.new_zeros(int(labels.max()) + 1, learned.shape[1], requires_grad=True)
    bias = learned.new_zeros(len(weight), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = F.cross_entropy(F.linear(learned, weight, bias), labels, reduction="none")
        total = errors @ shares + WEIGHT_DECAY / 2 * weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return F.linear(judged, weight, bias).argmax(dim=1)


def _equal_shares(labels: Tensor) -> Tensor:
    """(M,) float64 weights with sum 1; each label has the same total weight."""
    counts = labels.bincount().double()
    return 1 / (len(counts) * counts[labels])
