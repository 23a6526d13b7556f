"""What can be searched by features, whatever holds them: a file, faiss, or a Milvus server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.features.feature_set import check_same_kind, feature_of, kind_of
from ccafl_plugin.utils.errors import CCAFLError, unknown_name


@dataclass(frozen=True)
class Filter:
    """Which images may be found.

    Attributes:
        cameras: only these; empty: all.
        without: none of these cameras.
        since: not before this time.
        until: not at this time or later.
    """

    cameras: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it leaves nothing out."""
        return not (self.cameras or self.without) and self.since is None and self.until is None


class FilterColumns:
    """Cameras and times in a form in which a million are filtered in milliseconds.

    Args:
        columns: of the index.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self._columns = columns

    @cached_property
    def _cameras(self) -> tuple[dict[str, int], NDArray[np.int32]]:
        """(camera -> number, (N,) number of each image's camera)."""
        names = self._columns["camera"]
        numbers = {name: place for place, name in enumerate(sorted(set(names)))}
        return numbers, np.fromiter((numbers[name] for name in names), np.int32, len(names))

    @cached_property
    def _times(self) -> NDArray[np.float64]:
        """(N,), NaN where nobody knows it."""
        return np.asarray(self._columns["time"], dtype=np.float64)  # None becomes NaN

    def rows(self, only: Filter) -> NDArray[np.bool_] | None:
        """(N,) which images pass; None: all. Images of an unknown time are in no span of time."""
        if only.is_empty:
            return None
        kept = np.ones(len(self._columns["path"]), dtype=bool)
        if only.cameras or only.without:
            numbers, cameras = self._cameras
            allowed = np.array([not only.cameras or name in only.cameras for name in numbers])
            allowed &= np.array([name not in only.without for name in numbers])
            kept &= allowed[cameras]
        if only.since is not None or only.until is not None:
            # Comparisons with NaN are false.
            kept &= self._times >= (-np.inf if only.since is None else only.since)
            kept &= self._times < (np.inf if only.until is None else only.until)
        return kept


@dataclass(frozen=True)
class Hit:
    """An image that was found.

    Attributes:
        row: its place in the index.
        similarity: its cosine with the query.
        facts: what is known of it: ``path``, and ``camera``, ``id``, ``track``, ``frame``, ``time`` as far as known.
    """

    row: int
    similarity: float
    facts: dict[str, Any] = field(default_factory=dict)


class SearchIndex(ABC):
    """Features that can be searched.

    Args:
        weights: SHA-256 of the file of weights that made the features.
        description: what the weights say of themselves.
        dim: D.
        known: names of the columns.
        cameras: their names; None: too many to know.
    """

    def __init__(
        self,
        weights: str,
        description: Mapping[str, Any],
        dim: int,
        known: Sequence[str],
        cameras: Sequence[str] | None,
    ) -> None:
        self.weights, self.description, self.dim = weights, dict(description), dim
        self.known, self.cameras = tuple(known), cameras

    @abstractmethod
    def __len__(self) -> int:
        """Images in it."""

    @property
    def kind(self) -> str:
        """What has to be equal of features that are compared, see :func:`kind_of`."""
        return kind_of(self.description)

    @property
    def feature(self) -> str:
        """Which of a model's features they are."""
        return feature_of(self.description)

    def search(self, queries: Tensor, top: int = 10, only: Filter | None = None) -> list[list[Hit]]:
        """The images most like each query.

        Args:
            queries: (Q, D) float, of any length above 0.
            top: images per query, at most.
            only: which images may be found.

        Returns:
            A list per query, the most similar image first.

        Raises:
            CCAFLError: wrong shape, an unknown camera, or times where the index knows none.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise CCAFLError(f"queries: the index holds features of {self.dim} numbers, got {tuple(queries.shape)}.")
        if top < 1:
            raise CCAFLError(f"--top: {top} images can't be found; expected is a number from 1.")
        only = only or Filter()
        self._check(only)
        return self._search(F.normalize(queries.detach().float().cpu(), dim=1), top, only)

    def check_query(self, weights: str, kind: str, name: str) -> None:
        """Refuses queries that can't be compared with the index.

        Args:
            weights: SHA-256 of the weights that made the queries.
            kind: of these features.
            name: what they are called in the message.

        Raises:
            CCAFLError: they are of other weights, or of another kind.
        """
        check_same_kind((self.weights, self.kind), (weights, kind), ("the index", name))

    @abstractmethod
    def _search(self, queries: Tensor, top: int, only: Filter) -> list[list[Hit]]:
        """:meth:`search` for checked arguments and unit queries."""

    def _check(self, only: Filter) -> None:
        if (only.cameras or only.without) and "camera" not in self.known:
            raise CCAFLError("--camera: the index does not know the cameras of its images; extract with --pattern.")
        for name in (*only.cameras, *only.without):
            if self.cameras is not None and name not in self.cameras:
                raise unknown_name("--camera", name, self.cameras)
        if (only.since is not None or only.until is not None) and "time" not in self.known:
            raise CCAFLError(
                "--since, --until: the index knows no times; extract with a column 'time' in --table, or with --fps."
            )


def facts_of(columns: Mapping[str, Sequence[Any]], row: int) -> dict[str, Any]:
    """What the columns know of an image; unknown texts and numbers are left out."""
    return {name: values[row] for name, values in columns.items() if values[row] not in ("", None)}


def cameras_of(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The names of the cameras, sorted."""
    return sorted({name for name in columns.get("camera", ()) if name})
