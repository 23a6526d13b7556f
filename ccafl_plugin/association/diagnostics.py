"""Scores an association against true identities. The scores are only logged: nothing learns from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError


class PairScores(NamedTuple):
    """Scores over cross-camera pairs of proxies; a ratio is 0 if its denominator is 0."""

    precision: float  # share of the pairs inside one pseudo identity that are one person
    recall: float  # share of the pairs of one person that are inside one pseudo identity
    num_pairs: int  # cross-camera pairs inside one pseudo identity
    num_true_pairs: int  # cross-camera pairs of one person

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def pair_scores(pseudo: Tensor, cameras: Tensor, persons: Tensor) -> PairScores:
    """Compares pseudo identities with true identities; it counts per group and never lists pairs.

    Args:
        pseudo: (N,) int64, pseudo identity of each proxy, -1 for none.
        cameras: (N,) int64.
        persons: (N,) int64, true identity of each proxy.

    Returns:
        Precision, recall and the number of pairs.

    Raises:
        CCAFLError: the three tensors differ in length.
    """
    pseudo, cameras, persons = (x.detach().to("cpu", torch.int64) for x in (pseudo, cameras, persons))
    if not pseudo.shape == cameras.shape == persons.shape:
        raise CCAFLError(
            "pair_scores: pseudo, cameras and persons must have one entry per proxy each, "
            f"got {tuple(pseudo.shape)}, {tuple(cameras.shape)} and {tuple(persons.shape)}."
        )
    grouped = pseudo >= 0
    found = _cross_camera_pairs(cameras[grouped], pseudo[grouped])
    true = _cross_camera_pairs(cameras, persons)
    right = _cross_camera_pairs(cameras[grouped], pseudo[grouped], persons[grouped])
    return PairScores(right / found if found else 0.0, right / true if true else 0.0, found, true)


def _cross_camera_pairs(cameras: Tensor, *labels: Tensor) -> int:
    """Number of pairs that agree in all labels but differ in the camera."""
    return _equal_pairs(*labels) - _equal_pairs(cameras, *labels)


def _equal_pairs(*labels: Tensor) -> int:
    counts = torch.unique(torch.stack(labels, dim=1), dim=0, return_counts=True)[1]
    return int((counts * (counts - 1)).sum()) // 2
