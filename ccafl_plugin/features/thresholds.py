"""Similarities above which two images of different cameras are taken for one person, at chosen false-accept rates."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.features.feature_set import FeatureSet, check_same_kind, kind_of
from ccafl_plugin.models.weights_description import FILE
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole

RATES = (1e-2, 1e-3, 1e-4)
ENOUGH = 10
"""Different pairs above a threshold from which on it is called supported: with 10, its rate is known to a third."""
SUFFIX = ".thresholds.json"
FORMAT = "1"
BLOCK = 1 << 22
"""Similarities held at once, 16 MB in float32."""
HALF = 16
"""Bits of a similarity that a pass sorts by; two passes find any of them exactly."""


@dataclass(frozen=True)
class Threshold:
    """Of one false-accept rate.

    Attributes:
        rate: of the pairs of different people, at most this share is above the threshold.
        threshold: a pair is taken for one person if its cosine is above it; None: there are fewer than 1 / rate pairs
            of different people, so nothing can be said.
        false_accepts: pairs of different people above the threshold.
        true_accept_rate: share of the pairs of one person above it; None without a threshold.
        supported: whether at least :data:`ENOUGH` pairs are above it.
    """

    rate: float
    threshold: float | None
    false_accepts: int
    true_accept_rate: float | None
    supported: bool


@dataclass(frozen=True)
class Thresholds:
    """Of one file of weights, from the pairs of images of different cameras in a labelled set.

    Attributes:
        thresholds: from the highest rate to the lowest.
        same_pairs: pairs of images of one person.
        different_pairs: pairs of images of two people.
        people: number of ids; pairs of few people are far from independent.
        images: that have a camera and an id.
        cameras: number of cameras.
        weights: SHA-256 of the file of weights.
        feature: ``retrieval`` or ``embedding``.
        data: the labelled set, in words.
    """

    thresholds: tuple[Threshold, ...]
    same_pairs: int
    different_pairs: int
    people: int
    images: int
    cameras: int
    weights: str
    feature: str
    data: str

    def passed(self, similarity: float) -> float | None:
        """The lowest false-accept rate whose threshold a similarity is above; None: it is above none."""
        rates = [each.rate for each in self.thresholds if each.threshold is not None and similarity > each.threshold]
        return min(rates, default=None)

    def save(self, path: str | Path) -> None:
        """Writes a JSON file.

        Raises:
            CCAFLError: it can't be written.
        """
        text = json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1, ensure_ascii=False)
        try:
            write_text_whole(Path(path), text + "\n")
        except OSError as error:
            raise CCAFLError(f"{path} can't be written: {error.strerror or error}. Name another --out.") from error

    @classmethod
    def load(cls, path: str | Path) -> Thresholds:
        """Reads what :meth:`save` wrote.

        Raises:
            CCAFLError: it is missing or damaged.
        """
        try:
            values: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
            if values.pop("format") != FORMAT:
                raise CCAFLError(f"{path} is of another format than {FORMAT}; make the thresholds again.")
            values["thresholds"] = tuple(Threshold(**each) for each in values["thresholds"])
            return cls(**values)
        except OSError as error:
            raise CCAFLError(f"{path} can't be read: {error.strerror or error}.") from error
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise CCAFLError(f"{path} holds no thresholds; make them again with tools/thresholds.py.") from error

    def check_weights(self, weights: str, feature: str, name: str) -> None:
        """Refuses thresholds of other weights.

        Args:
            weights: SHA-256 of the file of weights in use.
            feature: the kind of feature in use.
            name: what has these weights, for the message.

        Raises:
            CCAFLError: they are others.
        """
        check_same_kind((self.weights, self.feature), (weights, feature), ("the thresholds", name))


def file_of(weights: str | Path) -> Path:
    """Where the thresholds of a file of weights are kept: beside it; those of a name in the current folder."""
    path = Path(weights).expanduser()
    if path.is_dir():
        path = path / FILE
    return path.with_name(path.stem + SUFFIX)


def measure_thresholds(
    labelled: FeatureSet, rates: Sequence[float] = RATES, data: str = "", block: int = BLOCK
) -> Thresholds:
    """Thresholds by the cosines of all pairs of images of different cameras.

    Exact, in three passes over all pairs: no more than ``block`` similarities are held at once.

    Args:
        labelled: features with ``camera`` and ``id``; ids hold across cameras. Images without one of the two are left
            out.
        rates: false-accept rates above 0 and below 1.
        data: the labelled set, in words.
        block: similarities held at once, at least; a row of them always is.

    Returns:
        Thresholds from the highest rate to the lowest.

    Raises:
        CCAFLError: a rate out of its range, no cameras or ids, or no pair of one of the two kinds.
    """
    wrong = [rate for rate in rates if not 0 < rate < 1]
    if wrong or not rates:
        raise CCAFLError(
            f"--rates: {wrong[0] if wrong else 'nothing'} is no rate; expected are numbers above 0, below 1."
        )
    pairs = _Pairs(labelled, block)
    different = _Order()
    for values, is_same in pairs.blocks():
        different.count_upper(values[~is_same])
    same = pairs.total - different.total
    if not different.total or not same:
        missing = "one person by two cameras" if different.total else "two people by two cameras"
        raise CCAFLError(f"the labelled set has no pair of images that shows {missing}; ids must hold across cameras.")
    ordered = sorted(set(rates), reverse=True)
    ranks = {rate: math.floor(rate * different.total + 1e-9) for rate in ordered}  # 0.29 * 100 is 28.999999999999996
    different.wanted(rank for rank in ranks.values() if rank)
    for values, is_same in pairs.blocks():
        different.count_lower(values[~is_same])
    limits = {rate: different.value(rank) for rate, rank in ranks.items() if rank}
    above = {rate: [0, 0] for rate in limits}
    for values, is_same in pairs.blocks():
        for rate, limit in limits.items():
            over = values > limit
            above[rate][0] += int((over & ~is_same).sum())
            above[rate][1] += int((over & is_same).sum())
    found = [
        Threshold(rate, limits[rate], above[rate][0], above[rate][1] / same, above[rate][0] >= ENOUGH)
        if rate in limits
        else Threshold(rate, None, 0, None, False)
        for rate in ordered
    ]
    return Thresholds(
        thresholds=tuple(found),
        same_pairs=same,
        different_pairs=different.total,
        people=len(pairs.ids.unique()),
        images=len(pairs.ids),
        cameras=len(pairs.cameras.unique()),
        weights=labelled.weights,
        feature=kind_of(labelled.description),
        data=data,
    )


class _Pairs:
    """All pairs of images of different cameras, block by block.

    Args:
        labelled: the set.
        block: similarities in a block.
    """

    def __init__(self, labelled: FeatureSet, block: int) -> None:
        for name in ("camera", "id"):
            if name not in labelled.columns:
                raise CCAFLError(f"the labelled set does not say the {name} of its images; extract it with --pattern.")
        cameras, ids = labelled.columns["camera"], labelled.columns["id"]
        rows = [row for row in range(len(labelled)) if cameras[row] and ids[row]]
        rows.sort(key=lambda row: cameras[row])  # so that a camera's own pairs are few blocks
        self.features = F.normalize(labelled.features[rows], dim=1)
        self.cameras, self.ids = (_numbers([column[row] for row in rows]) for column in (cameras, ids))
        self._ends = torch.searchsorted(self.cameras, self.cameras, right=True).tolist()
        self._block = block
        self.total = sum(len(rows) - end for end in self._ends)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(cosines, whether both show one person) of some pairs, each (n,); every pair once, equal in every pass."""
        first, total = 0, len(self.ids)
        while first < total and (begin := self._ends[first]) < total:
            stop = min(begin, first + max(1, self._block // (total - begin)))  # rows of one camera
            values = self.features[first:stop] @ self.features[begin:].T
            yield values.flatten(), (self.ids[first:stop, None] == self.ids[None, begin:]).flatten()
            first = stop


class _Order:
    """Which similarity stands at a place of the descending order, without keeping them.

    A float32 as a whole number has the same order, so the upper half of its bits is counted first, and then the lower
    half of those numbers that share the upper half at a wanted place.
    """

    def __init__(self) -> None:
        self._upper = torch.zeros(1 << HALF, dtype=torch.int64)
        self._lower: dict[int, Tensor] = {}
        self.total = 0

    def count_upper(self, values: Tensor) -> None:
        """First pass."""
        self._upper += torch.bincount(_as_ordered(values) >> HALF, minlength=1 << HALF)
        self.total += len(values)

    def wanted(self, ranks: Iterator[int]) -> None:
        """The places that are asked for, from 0."""
        for rank in ranks:
            self._lower.setdefault(self._bin(self._upper, rank)[0], torch.zeros(1 << HALF, dtype=torch.int64))

    def count_lower(self, values: Tensor) -> None:
        """Second pass, over the same numbers."""
        ordered = _as_ordered(values)
        upper = ordered >> HALF
        for place, counts in self._lower.items():
            counts += torch.bincount(ordered[upper == place] & (1 << HALF) - 1, minlength=1 << HALF)

    def value(self, rank: int) -> float:
        """The similarity that ``rank`` others precede."""
        upper, before = self._bin(self._upper, rank)
        lower, _ = self._bin(self._lower[upper], rank - before)
        return float(_as_float(torch.tensor([upper << HALF | lower]))[0])

    @staticmethod
    def _bin(counts: Tensor, rank: int) -> tuple[int, int]:
        """(bin with the number at a place of the descending order, how many are in the bins above it)."""
        from_above = counts.flip(0).cumsum(0)
        place = int(torch.searchsorted(from_above, torch.tensor(rank), right=True))
        return len(counts) - 1 - place, int(from_above[place - 1]) if place else 0


def _as_ordered(values: Tensor) -> Tensor:
    """(n,) float32 as int64 in [0, 2^32) of the same order; -0.0 counts as 0.0."""
    bits = (values + 0.0).view(torch.int32).to(torch.int64)
    return torch.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits) + (1 << 31)


def _as_float(ordered: Tensor) -> Tensor:
    """The inverse of :func:`_as_ordered`."""
    bits = ordered - (1 << 31)
    bits = torch.where(bits < 0, (-bits - 1) | 0x80000000, bits)
    bits = torch.where(bits >= 1 << 31, bits - (1 << 32), bits)
    return bits.to(torch.int32).view(torch.float32)


def _numbers(names: Sequence[str]) -> Tensor:
    """(n,) int64: equal names have equal numbers, in the order of the names."""
    number = {name: place for place, name in enumerate(sorted(set(names)))}
    return torch.tensor([number[name] for name in names], dtype=torch.int64)
