"""Whitening by the spread inside proxies: which differences between features are no differences between people."""

from __future__ import annotations

import torch
from torch import Tensor


def whiten(proxy_features: Tensor, spread: Tensor, shrinkage: float) -> Tensor:
    """Features of proxies in which directions count less, the more the images of one proxy differ along them.

    x becomes normalize(x S^(-1/2)) with S = ``spread`` + ``shrinkage`` t I, where t is the mean of the diagonal of
    ``spread``. This is the within-class covariance normalisation of speaker recognition (Hatch, Kajarekar, Stolcke,
    Interspeech 2006). Its classes are the proxies, so it needs no label across cameras.

    Args:
        proxy_features: (N, D) float.
        spread: (D, D) float, covariance inside the proxies (:func:`spread_inside`), or a multiple of it.
        shrinkage: above 0; the larger, the smaller the effect.

    Returns:
        (N, D) float64, unit rows. Without any spread (every proxy has one image) only the lengths change.
    """
    spread = spread.double()
    level = spread.diagonal().mean()
    if not bool(level > 0):
        return torch.nn.functional.normalize(proxy_features.double(), dim=1)
    identity = torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    values, vectors = torch.linalg.eigh(spread / level + shrinkage * identity)
    root = vectors * values.clamp(min=shrinkage / 2).rsqrt() @ vectors.T  # no eigenvalue is below the shrinkage
    return torch.nn.functional.normalize(proxy_features.double() @ root, dim=1)


def spread_inside(features: Tensor, means: Tensor, proxies: Tensor) -> Tensor:
    """Covariance of images inside their proxies: mean of (f - mean) (f - mean)^T over all images.

    Args:
        features: (M, D) float, of the images.
        means: (N, D) float, mean of the features of every proxy, not normalised.
        proxies: (M,) int64, the proxy of every image.

    Returns:
        (D, D) float64 on the features' device.
    """
    inside = features.double() - means.double()[proxies]
    return inside.T @ inside / max(len(inside), 1)
