"""The mean cross-entropy that several of the method's losses share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mean_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0, share: Tensor | None = None) -> Tensor:
    """Cross-entropy, mean over the rows whose label is not -1; without such a row, a zero that still has a graph.

    The device counts the rows, so the host does not wait to learn how many are left out.

    Args:
        logits: (B, N) float.
        labels: (B,) int64 in [-1, N).
        smoothing: label smoothing, 0 for none.
        share: (B,) float, weight of each row that replaces the mean: 1 / images of its camera.

    Returns:
        () float.
    """
    if share is not None:
        return (F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing) * share).sum()
    total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum", label_smoothing=smoothing)
    return total / (labels >= 0).sum().clamp(min=1)
