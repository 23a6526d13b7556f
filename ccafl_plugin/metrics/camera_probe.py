"""Measures how well the camera can be predicted from a feature, which camera-agnostic features should not allow."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator

WEIGHT_DECAY = 0.1  # the optimum is unique and found in few steps, with more dimensions than images too
MAX_STEPS = 500  # about ten are usual, and up to some hundred if most numbers of a feature say the same
LARGEST_SLOPE = 1e-6  # where the search ends: no derivative of the loss is larger
SMALLEST_DEVIATION = 1e-5  # beside the largest; numbers of a feature that vary less are not used


class CameraPredictability(NamedTuple):
    """Accuracy and chance; nan if fewer than two cameras can be evaluated, accuracy also if a feature is not finite."""

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
        features: (M, D) float, on any device; the probe learns there, in float64 (half of the images at a time).
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
    if not features.isfinite().all():
        return CameraPredictability(math.nan, 1 / len(judged))
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
    deviation, mean = torch.std_mean(learned.double(), dim=0, correction=0)
    # What varies by rounding only (a channel that never fires, less its mean) would be made as large as the rest, and
    # rounding differs from camera to camera.
    deviation = torch.where(deviation > SMALLEST_DEVIATION * deviation.max(), deviation, torch.inf)
    coefficients = logistic_regression(torch.sub(learned, mean).div_(deviation), labels)
    standardised = torch.sub(judged, mean).div_(deviation)
    return torch.addmm(coefficients[:, -1], standardised, coefficients[:, :-1].T).argmax(dim=1)


def logistic_regression(features: Tensor, labels: Tensor) -> Tensor:
    """Multinomial logistic regression in which all labels count equally, with ``WEIGHT_DECAY`` on the weights.

    Args:
        features: (n, D) float64, finite, standardised. (Rounding in float32 ends the search at derivatives of 1e-5.)
        labels: (n,) int64, 0 to C - 1, each at least once.

    Returns:
        (C, D + 1) float64: weights and, in the last column, biases. A warning says if the optimum was not found.
    """
    if features.shape[0] < features.shape[1]:
        # The best weights are sums of features, since weight decay makes anything beside them zero. So they are sought
        # in the n dimensions that the features span: thousands of dimensions and few images are then no work.
        basis, factor = torch.linalg.qr(features.T)
        found = _optimum(factor.T.contiguous(), labels)
        return torch.cat([found[:, :-1] @ basis.T, found[:, -1:]], dim=1)
    return _optimum(features, labels)


def _optimum(features: Tensor, labels: Tensor) -> Tensor:
    """What ``logistic_regression`` returns, by a search in all D dimensions."""
    shares = _equal_shares(labels)
    rows = torch.arange(len(labels), device=labels.device)
    classes, (count, dim) = int(labels.max()) + 1, features.shape
    # Many numbers of a feature may say the same, and then the loss is far steeper in some directions than in others.
    # The search is for weight @ root, in which the loss is about equally curved in all of them around 0.
    curvature = (features.T @ features).div_(classes * count)
    curvature.diagonal().add_(WEIGHT_DECAY)
    root = torch.linalg.cholesky(curvature)

    def coefficients(flat: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        sought = torch.from_numpy(flat).view(classes, dim + 1).to(features)
        weight = torch.linalg.solve_triangular(root, sought[:, :-1], upper=False, left=False)
        return weight, sought[:, -1] * classes**0.5

    def loss_and_slope(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight, bias = coefficients(flat)
        log_odds = torch.addmm(bias, features, weight.T).log_softmax(dim=1)
        loss = WEIGHT_DECAY / 2 * weight.square().sum() - shares @ log_odds[rows, labels]
        errors = log_odds.exp()
        errors[rows, labels] -= 1
        errors *= shares[:, None]
        of_weight = torch.addmm(weight, errors.T, features, beta=WEIGHT_DECAY)
        of_weight = torch.linalg.solve_triangular(root.T, of_weight, upper=True, left=False)
        slope = torch.cat([of_weight, errors.sum(dim=0)[:, None] * classes**0.5], dim=1)
        return float(loss), slope.flatten().cpu().numpy()

    options = {"maxiter": MAX_STEPS, "gtol": LARGEST_SLOPE, "ftol": 0.0}
    found = minimize(loss_and_slope, np.zeros(classes * (dim + 1)), method="L-BFGS-B", jac=True, options=options)
    if not found.success:
        slope = float(np.abs(found.jac).max())
        warnings.warn(
            f"The camera probe did not converge: after {found.nit} steps the largest derivative is {slope:.1e}.",
            stacklevel=5,
        )
    weight, bias = coefficients(found.x)
    return torch.cat([weight, bias[:, None]], dim=1)


def _equal_shares(labels: Tensor) -> Tensor:
    """(M,) float64 weights with sum 1; each label has the same total weight."""
    counts = labels.bincount().double()
    return 1 / (len(counts) * counts[labels])
