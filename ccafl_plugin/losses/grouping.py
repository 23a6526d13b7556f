"""Means of rows that share a label."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.utils.dtypes import full_precision, widen
from ccafl_plugin.utils.errors import CCAFLError


@full_precision
def group_means(features: Tensor, labels: Tensor, num_groups: int) -> Tensor:
    """Mean of the rows of each group; rows are added in their order, so every call gives the same result.

    Args:
        features: (M, D) float.
        labels: (M,) int64 in [-1, num_groups); rows labelled -1 belong to no group.
        num_groups: number of groups; each needs at least one row.

    Returns:
        (num_groups, D) in the dtype of ``features`` (half precision: float32) and on its device; no gradient.

    Raises:
        CCAFLError: a label is out of range, or a group has no row.
    """
    (features,) = widen(features.detach())
    labels = labels.to(features.device)
    if labels.numel() and not -1 <= int(labels.min()) <= int(labels.max()) < num_groups:
        raise CCAFLError(f"labels must lie in [-1, {num_groups}), got {int(labels.min())} to {int(labels.max())}.")
    counts = torch.bincount(labels[labels >= 0], minlength=num_groups)
    if bool((counts == 0).any()):
        raise CCAFLError(f"group {int((counts == 0).nonzero()[0])} of {num_groups} has no row to take a mean of.")
    order = torch.argsort(labels, stable=True)[labels.numel() - int(counts.sum()) :]  # rows labelled -1 sort first
    starts = counts.cumsum(0) - counts
    return F.embedding_bag(order, features, starts, mode="mean")  # needs no sorted copy and no atomic additions


def unit_group_means(features: Tensor, labels: Tensor, num_groups: int) -> Tensor:
    """:func:`group_means`, L2-normalised: centroids, proxy features and cluster centres."""
    return F.normalize(group_means(features, labels, num_groups), dim=1)
