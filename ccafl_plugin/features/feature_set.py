"""Features of images with what is known of each image, in two files beside each other."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.files import write_text_whole, write_whole

TEXT_COLUMNS = ("path", "camera", "id", "track")
NUMBER_COLUMNS = ("frame", "time")
COLUMNS = (*TEXT_COLUMNS, *NUMBER_COLUMNS)
SUFFIX = ".safetensors"
INDEX_SUFFIXES = {"json": ".index.json", "parquet": ".index.parquet"}
FORMAT = "1"
"""Of the two files; another number is refused."""
WITHOUT_CAMERAS = "without_cameras"
"""In a description: by which statistics features were made that are without what their cameras add."""
ROWS = 65_536
"""That are checked at a time."""


@dataclass(frozen=True)
class FeatureSet:
    """Features of N images by one file of weights, and what is known of the images.

    Attributes:
        features: (N, D) float32 on the CPU, finite.
        columns: lists of length N. ``path`` (of the file, absolute where the file is to be found again) is always
            there; ``camera``, ``id``, ``track`` (text), ``frame`` (whole numbers) and ``time`` (seconds, from any
            common zero) where somebody knows them. Of a single image that nobody knows it of, a text is empty and a
            number is None.
        weights: SHA-256 of the file of weights, in hexadecimal digits; features of two files are never mixed.
        description: what the file of weights says of itself, with plain values.

    Raises:
        CCAFLError: wrong shapes, lengths, types or names.
    """

    features: Tensor
    columns: dict[str, list[Any]]
    weights: str
    description: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.dtype != torch.float32:
            raise CCAFLError(
                f"features: expected (N, D) float32, got {tuple(self.features.shape)} {self.features.dtype}."
            )
        for first in range(0, len(self.features), ROWS):  # by parts: a million features need no second copy
            finite = torch.isfinite(self.features[first : first + ROWS]).all(dim=1)
            if not finite.all():
                row = first + int((~finite).nonzero()[0])
                raise CCAFLError(f"features: row {row} holds numbers that are not finite; compute it in float32.")
        if "path" not in self.columns:
            raise CCAFLError("columns: 'path' is missing; every feature needs the path of its image.")
        for name, values in self.columns.items():
            self._check_column(name, values)

    def _check_column(self, name: str, values: Sequence[Any]) -> None:
        if name not in COLUMNS:
            raise unknown_name("columns", name, COLUMNS)
        if len(values) != len(self.features):
            raise CCAFLError(f"columns: {name!r} has {len(values)} entries for {len(self.features)} features.")
        if not _all_allowed(name, values):
            row, value = next((row, value) for row, value in enumerate(values) if not _all_allowed(name, [value]))
            kind = {"frame": "a whole number or None", "time": "a finite number or None"}.get(name, "a text")
            raise CCAFLError(f"columns: {name!r} of row {row} is {value!r}, not {kind}.")

    def __len__(self) -> int:
        return len(self.features)

    def select(self, rows: Sequence[int]) -> FeatureSet:
        """The set of some rows, in the order given."""
        chosen = torch.as_tensor(list(rows), dtype=torch.int64)
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return dataclasses.replace(self, features=self.features[chosen], columns=columns)

    def save(self, path: str | Path, index: str = "json") -> list[Path]:
        """Writes ``NAME.safetensors`` with the features and, beside it, ``NAME.index.json`` with the columns.

        Args:
            path: NAME, or NAME.safetensors.
            index: ``json``, or ``parquet`` for ``NAME.index.parquet``, which needs pyarrow.

        Returns:
            The two files.

        Raises:
            CCAFLError: a file can't be written, or pyarrow is missing.
        """
        from safetensors.torch import save_file

        if index not in INDEX_SUFFIXES:
            raise unknown_name("index", index, INDEX_SUFFIXES)
        base = _base(path)
        file, table = (base.with_name(base.name + suffix) for suffix in (SUFFIX, INDEX_SUFFIXES[index]))
        try:
            if index == "json":
                write_text_whole(table, json.dumps({"format": FORMAT, "columns": self.columns}, ensure_ascii=False))
            else:
                _write_parquet(table, self.columns)
            metadata = {
                "format": FORMAT,
                "kind": "features",
                "weights": self.weights,
                "description": json.dumps(self.description, ensure_ascii=False),
                "index": index,
                "index_sha256": digest_of_file(table),
            }
            tensors = {"features": self.features.detach().contiguous()}
            write_whole(file, lambda partial: save_file(tensors, partial, metadata))
        except OSError as error:
            raise CCAFLError(f"{file} can't be written: {error.strerror or error}. Name another one.") from error
        return [file, table]

    @classmethod
    def load(cls, path: str | Path) -> FeatureSet:
        """Reads what :meth:`save` wrote.

        Args:
            path: NAME, NAME.safetensors or the index beside it.

        Raises:
            CCAFLError: a file is missing, damaged, or the two are not of one set.
        """
        base = _base(path)
        file = base.with_name(base.name + SUFFIX)
        features, metadata = _read_features(file)
        kind = metadata.get("index", "json")
        table = base.with_name(base.name + INDEX_SUFFIXES.get(kind, INDEX_SUFFIXES["json"]))
        if not table.is_file():
            raise CCAFLError(f"{table} is missing; it lies beside {file.name} and says which image is which.")
        if digest_of_file(table) != metadata.get("index_sha256"):
            raise CCAFLError(f"{table} is not the index of {file.name}; extract the features again.")
        try:
            columns = _read_parquet(table) if kind == "parquet" else json.loads(table.read_text("utf-8"))["columns"]
            return cls(features, columns, metadata["weights"], json.loads(metadata["description"]))
        except CCAFLError as error:
            raise CCAFLError(f"{file} can't be used: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CCAFLError(f"{file} or its index is damaged; extract the features again.") from error


def check_same_weights(
    first: FeatureSet, other: FeatureSet, names: tuple[str, str] = ("the first", "the second")
) -> None:
    """Refuses features that can't be compared.

    Args:
        first, other: two sets.
        names: what they are called in the message.

    Raises:
        CCAFLError: they are of different weights, or of different features of one file of weights.
    """
    check_same_kind((first.weights, kind_of(first.description)), (other.weights, kind_of(other.description)), names)


def kind_of(description: Mapping[str, Any]) -> str:
    """What has to be equal of features that are compared: which of a model's they are, and without which cameras."""
    removed = description.get(WITHOUT_CAMERAS)
    return feature_of(description) + (f" without cameras ({removed})" if removed else "")


def feature_of(description: Mapping[str, Any]) -> str:
    """Which of a model's features they are: ``retrieval``, ``embedding``, or empty if nobody says."""
    return str(description.get("feature", ""))


def check_same_kind(first: tuple[str, str], other: tuple[str, str], names: tuple[str, str]) -> None:
    """:func:`check_same_weights` for two pairs (SHA-256 of the file of weights, :func:`kind_of`)."""
    if first[0] != other[0]:
        raise CCAFLError(
            f"The features of {names[0]} are of other weights ({first[0][:12]}) than those of {names[1]} "
            f"({other[0][:12]}); extract both with one file of weights."
        )
    if first[1] != other[1]:
        raise CCAFLError(
            f"The features of {names[0]} are of another kind ({first[1]}) than those of {names[1]} ({other[1]}); "
            "make both with the same --feature and the same --camera-normalization."
        )


def joined(sets: Sequence[FeatureSet], names: Sequence[str] = ()) -> FeatureSet:
    """One set of several, one behind the other; a column that only some have is empty for the others.

    Args:
        sets: at least one.
        names: what they are called in messages.

    Raises:
        CCAFLError: they are of different weights.
    """
    called = list(names) or [f"set {place}" for place in range(1, len(sets) + 1)]
    for other, name in zip(sets, called, strict=True):
        check_same_weights(sets[0], other, (called[0], name))
    present = [name for name in COLUMNS if any(name in one.columns for one in sets)]
    columns = {name: [value for one in sets for value in _column(one, name)] for name in present}
    return FeatureSet(torch.cat([one.features for one in sets]), columns, sets[0].weights, sets[0].description)


def load_joined(files: Sequence[str]) -> FeatureSet:
    """One set of one file or several.

    Args:
        files: at least one, each once.

    Raises:
        CCAFLError: a file can't be read or is named twice, or they are of different weights.
    """
    named: set[Path] = set()
    for file in files:
        base = _base(file).resolve()
        if base in named:
            raise CCAFLError(f"{file} is named twice; its images would count twice. Name each file once.")
        named.add(base)
    return joined([FeatureSet.load(file) for file in files], list(files))


def _column(one: FeatureSet, name: str) -> Iterable[Any]:
    return one.columns.get(name, [None if name in NUMBER_COLUMNS else ""] * len(one))


def _all_allowed(name: str, values: Sequence[Any]) -> bool:
    """Quick for a million: types first, as a set."""
    types = set(map(type, values))
    if name in TEXT_COLUMNS:
        return types <= {str}
    allowed = {int, NoneType} if name == "frame" else {int, float, NoneType}
    return types <= allowed and all(math.isfinite(value) for value in values if value is not None)


def _base(path: str | Path) -> Path:
    """The path without the endings of the two files."""
    given = Path(path).expanduser()
    for suffix in (*INDEX_SUFFIXES.values(), SUFFIX):
        if given.name.endswith(suffix) and given.name != suffix:
            return given.with_name(given.name.removesuffix(suffix))
    return given


def _read_features(file: Path) -> tuple[Tensor, dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise CCAFLError(f"{file} is missing; extract.py writes such a file.")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            if metadata.get("kind") != "features":
                raise CCAFLError(f"{file} holds no features; extract.py writes such a file.")
            if metadata.get("format") != FORMAT:
                raise CCAFLError(f"{file} has the format {metadata.get('format')}, not {FORMAT}; extract it again.")
            return opened.get_tensor("features"), metadata
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:80]
        raise CCAFLError(f"{file} can't be read as safetensors ({reason}); extract it again.") from error


def _write_parquet(table: Path, columns: Mapping[str, list[Any]]) -> None:
    arrow = _pyarrow()
    kinds = {"frame": arrow.int64(), "time": arrow.float64()}
    arrays = {name: arrow.array(values, kinds.get(name, arrow.string())) for name, values in columns.items()}
    parquet = importlib.import_module("pyarrow.parquet")
    write_whole(table, lambda partial: parquet.write_table(arrow.table(arrays), partial))


def _read_parquet(table: Path) -> dict[str, list[Any]]:
    _pyarrow()
    columns: dict[str, list[Any]] = importlib.import_module("pyarrow.parquet").read_table(table).to_pydict()
    return columns


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise CCAFLError("A Parquet index needs pyarrow: pip install pyarrow, or write the index as JSON.") from error
