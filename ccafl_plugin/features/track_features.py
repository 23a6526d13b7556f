"""A feature for every track of every camera, from the features of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.association import spread_inside, whiten
from ccafl_plugin.data.image_records import Record, look_alike_ids, natural_key
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.losses import group_means
from ccafl_plugin.utils.errors import CCAFLError, unknown_name

AT_ONCE = 1 << 14
"""Images whose features are widened to float64 at once."""


@dataclass(frozen=True)
class Tracks:
    """Tracks of several cameras. A track is whatever shows one person of one camera: a tracker's, or an id of a camera.

    Attributes:
        features: (N, D) float64, unit rows.
        cameras: name of the camera of each track; tracks are in natural order of camera and name.
        names: name of each track.
        images: rows of the feature set that show each track, ascending.
    """

    features: Tensor
    cameras: list[str]
    names: list[str]
    images: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def camera_numbers(self) -> Tensor:
        """(N,) int64, cameras from 0 in natural order."""
        number = {name: place for place, name in enumerate(dict.fromkeys(self.cameras))}
        return torch.tensor([number[camera] for camera in self.cameras], dtype=torch.int64)

    def called(self, track: int) -> str:
        """``'7' in 'hall'``."""
        return f"{self.names[track]!r} in {self.cameras[track]!r}"


def tracks_of(images: FeatureSet, column: str = "", whitening: float = 0.0) -> Tracks:
    """Tracks with the mean of their images' features, as training makes the features of proxies.

    Each image's feature is scaled to length 1; the mean of a track's is scaled to length 1 again.

    Args:
        images: features with a column ``camera`` and one that says which images show one person.
        column: the latter; empty: ``track``, or ``id`` without it.
        whitening: above 0: directions count less, the more the images of a track differ along them
            (:func:`~ccafl_plugin.association.whiten`, with this shrinkage).

    Raises:
        CCAFLError: a column is missing or has gaps, or there are not two cameras.
    """
    cameras = _column(images, "camera", "Extract them again with --pattern, --table or --tracks that tell the camera")
    column = column or next((name for name in ("track", "id") if name in images.columns), "track")
    names = _column(images, column, "Extract them again with --pattern, --table or --tracks that tell who is who")
    keys = sorted(set(zip(cameras, names, strict=True)), key=lambda key: (natural_key(key[0]), natural_key(key[1])))
    if len({camera for camera, _ in keys}) < 2:
        only = f"all {len(images)} images are of the camera {keys[0][0]!r}" if keys else "there is no image"
        raise CCAFLError(f"{only}; nobody can be found again in another camera. Give features of two cameras or more.")
    number = {key: place for place, key in enumerate(keys)}
    track = np.array([number[key] for key in zip(cameras, names, strict=True)], dtype=np.int64)
    order = np.argsort(track, kind="stable")
    members = np.split(order, np.searchsorted(track[order], np.arange(1, len(keys))))
    features = _mean_features(images.features, members, whitening)
    return Tracks(features, [camera for camera, _ in keys], [name for _, name in keys], members)


def labels_of(tracks: Tracks, images: FeatureSet, column: str) -> list[str]:
    """What a column says of each track; empty where it says nothing.

    Raises:
        CCAFLError: there is no such column, it says two things of one track, or it names nobody in two cameras.
    """
    if column not in images.columns:
        raise unknown_name("--truth: the column", column, images.columns)
    values = [str(value) if value is not None else "" for value in images.columns[column]]
    labels = []
    for track, members in enumerate(tracks.images):
        found = sorted({values[row] for row in members.tolist()} - {""})
        if len(found) > 1:
            raise CCAFLError(
                f"--truth: the track {tracks.called(track)} is {found[0]!r} and {found[1]!r} in the column {column!r}; "
                "a track must be one person."
            )
        labels.append(found[0] if found else "")
    seen: dict[str, str] = {}
    pairs = zip(labels, tracks.cameras, strict=True)
    if not any(label and seen.setdefault(label, camera) != camera for label, camera in pairs):
        raise CCAFLError(
            f"--truth: the column {column!r} names nobody in two cameras, so nothing can be scored. Name a column "
            "whose labels hold across cameras."
        )
    return labels


def notes_on(tracks: Tracks) -> list[str]:
    """What should be said of tracks before they are associated: lines for people."""
    sizes = np.array([len(members) for members in tracks.images])
    cameras = len(set(tracks.cameras))
    notes = [
        f"{len(tracks)} tracks of {cameras} cameras, {int(sizes.sum())} images: {sizes.min()} to {sizes.max()} of a "
        f"track, median {np.median(sizes):g}"
    ]
    single = int((sizes == 1).sum())
    if single:
        share = "every track has" if single == len(tracks) else f"{single} of {len(tracks)} tracks have"
        notes.append(f"note: {share} one image, whose feature is the track's; several images per track are safer")
    records = [Record("", name, camera) for camera, name in zip(tracks.cameras, tracks.names, strict=True)]
    for what, pairs in (
        ("tracks", look_alike_ids(records, False)),
        ("cameras", look_alike_ids((Record("", camera, "") for camera in set(tracks.cameras)), False)),
    ):
        if pairs:
            first, other = pairs[0]
            more = f" and {len(pairs) - 1} more pairs" if len(pairs) > 1 else ""
            notes.append(
                f"warning: the {what} {first!r} and {other!r}{more} differ by case or blanks only and are taken as "
                "two; make them equal if they are one"
            )
    return notes


def _column(images: FeatureSet, name: str, remedy: str) -> list[Any]:
    """A column of texts without gaps."""
    if name not in images.columns:
        known = ", ".join(images.columns)
        raise CCAFLError(f"the features have no column {name!r}, only {known}. {remedy}.")
    values = [str(value) if value is not None else "" for value in images.columns[name]]
    if "" in values:
        row = values.index("")
        path = images.columns["path"][row]
        raise CCAFLError(
            f"{values.count('')} of {len(values)} images have nothing in the column {name!r}, e.g. {path} (row {row}). "
            f"{remedy}, or leave these images out."
        )
    return values


def _mean_features(features: Tensor, members: Sequence[NDArray[np.int64]], whitening: float) -> Tensor:
    """(N, D) float64, unit rows; float64 copies of some images at a time."""
    sizes = np.array([len(rows) for rows in members])
    dim = features.shape[1]
    means = torch.empty(len(members), dim, dtype=torch.float64)
    spread = torch.zeros(dim, dim, dtype=torch.float64)
    for first, last in pairwise(_cuts(sizes)):
        rows = torch.from_numpy(np.concatenate(members[first:last]))
        labels = torch.repeat_interleave(torch.from_numpy(sizes[first:last]))
        unit = F.normalize(features[rows].double(), dim=1)
        means[first:last] = group_means(unit, labels, last - first)
        if whitening:
            spread += spread_inside(unit, means[first:last], labels) * len(rows)
    unit_means = F.normalize(means, dim=1)
    return whiten(unit_means, spread / int(sizes.sum()), whitening) if whitening else unit_means


def _cuts(sizes: NDArray[np.int64]) -> list[int]:
    """Where to cut the list of tracks so that each piece has about :data:`AT_ONCE` images."""
    piece = (np.cumsum(sizes) - 1) // AT_ONCE
    return [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(sizes)]
