"""One identity across cameras for every track, and how certain that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ccafl_plugin.association import GroupLinks, PairScores, associate_with_links, keep_unassociated, pair_scores
from ccafl_plugin.features.track_features import Tracks

BANDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Confidences between which links are counted."""


@dataclass(frozen=True)
class Identities:
    """The result of an association of tracks.

    Attributes:
        tracks: what was associated.
        identity: (N,) int64 from 1: groups of several tracks in the order of their first track, then single tracks.
        size: (N,) int64, number of tracks of the track's identity.
        links: what holds the groups together; ``links.of_proxy`` is each track's confidence.
    """

    tracks: Tracks
    identity: Tensor
    size: Tensor
    links: GroupLinks

    @property
    def groups(self) -> list[list[int]]:
        """The tracks of every identity that has several, in the order of the identities."""
        found: dict[int, list[int]] = {}
        for track, (identity, size) in enumerate(zip(self.identity.tolist(), self.size.tolist(), strict=True)):
            if size > 1:
                found.setdefault(identity, []).append(track)
        return [found[identity] for identity in sorted(found)]

    def __str__(self) -> str:
        """One line."""
        grouped = self.size > 1
        counts = self.identity[grouped].unique(return_counts=True)[1]
        sizes, how_many = counts.unique(return_counts=True)
        listed = ", ".join(f"{many} of {size}" for size, many in zip(sizes.tolist(), how_many.tolist(), strict=True))
        alone = len(self.tracks) - int(grouped.sum())
        words = f"{len(counts)} identities with several tracks ({listed})" if listed else "no two tracks are linked"
        return f"{words}; tracks that are an identity of their own: {alone}"


def identify(tracks: Tracks, association: str = "margin", **options: object) -> Identities:
    """Associates tracks of different cameras.

    Args:
        tracks: of two cameras or more.
        association: a name in :data:`~ccafl_plugin.association.ASSOCIATIONS`.
        **options: of this association.

    Raises:
        CCAFLError: an unknown association or option.
    """
    pseudo, links = associate_with_links(tracks.features, tracks.camera_numbers, association, **options)
    identity = keep_unassociated(pseudo) + 1
    return Identities(tracks, identity, identity.bincount()[identity], links)


@dataclass(frozen=True)
class TruthReport:
    """How right identities are by labels that hold across cameras.

    Attributes:
        scores: precision and recall of cross-camera pairs of labelled tracks.
        labelled: number of tracks with a label.
        bands: (lowest, highest confidence, links between labelled tracks, right ones) of each band with links.
    """

    scores: PairScores
    labelled: int
    bands: list[tuple[float, float, int, int]]

    def lines(self, column: str, total: int) -> list[str]:
        """For people; ``total`` is the number of tracks."""
        of = "" if self.labelled == total else f" ({self.labelled} of {total} tracks have a label)"
        scores = self.scores
        found = [
            f"By the column {column!r}{of}: precision {scores.precision:.1%} of {scores.num_pairs} pairs, "
            f"recall {scores.recall:.1%} of {scores.num_true_pairs} pairs, F1 {scores.f1:.1%}"
        ]
        for low, high, links, right in self.bands:
            name = f"below {high:g}" if low == -np.inf else f"{low:g} to {high:g}" if high < np.inf else f"from {low:g}"
            found.append(f"  links of confidence {name}: {links}, right {right / links:.1%}")
        return found


def compare(identities: Identities, labels: list[str]) -> TruthReport:
    """Scores identities against labels.

    Args:
        identities: what was found.
        labels: of each track; empty: not labelled, and left out.
    """
    number: dict[str, int] = {}
    person = torch.tensor([number.setdefault(label, len(number)) if label else -1 for label in labels])
    kept = person >= 0
    alone = identities.size == 1
    pseudo = torch.where(alone, -1, identities.identity)
    scores = pair_scores(pseudo[kept], identities.tracks.camera_numbers[kept], person[kept])
    links = identities.links
    first, second = torch.from_numpy(links.first), torch.from_numpy(links.second)
    both = (kept[first] & kept[second]).numpy()
    right = (person[first] == person[second]).numpy()[both]
    confidence = links.confidence[both]
    bands = []
    for low, high in zip((-np.inf, *BANDS), (*BANDS, np.inf), strict=True):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            bands.append((low, high, int(inside.sum()), int(right[inside].sum())))
    return TruthReport(scores, int(kept.sum()), bands)
