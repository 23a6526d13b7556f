"""Reads a suite's file. Every mistake in it gives a one-line error that names the place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ccafl_plugin.suites.columns import COLUMNS
from ccafl_plugin.suites.suite import DEFAULT_COLUMNS, Axis, Branch, Dataset, Row, Suite
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.yaml_text import read_yaml

_SUITE_KEYS = {
    "title", "config", "overrides", "seeds", "datasets", "trunks", "rows", "axes", "columns", "published_source",
    "notes", "quick",
}  # fmt: skip
_ROW_KEYS = {"name", "config", "overrides", "branch", "compare", "note", "published"}
_AXIS_KEYS = {"name", "key", "values", "config", "overrides", "branch", "note"}
_QUICK_KEYS = {"seeds", "overrides", "rows"}
_DATASET_KEYS = {"sources", "targets"}
_BRANCH_KEYS = {"from", "epoch"}


def load_suite(file: str | Path, quick: bool = False) -> Suite:
    """Reads a suite.

    Args:
        file: YAML; ``docs/suites.md`` describes its keys.
        quick: read its quick form: the seeds, overrides and rows of its section ``quick``.

    Raises:
        CCAFLError: the file is invalid or could not be read.
    """
    file = Path(file)
    try:
        content = read_yaml(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise CCAFLError(f"SUITE: could not read {str(file)!r}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CCAFLError(f"{file}: not a YAML file: {' '.join(str(error).split())}.") from error
    return _Reader(file, quick).suite(_mapping(content, f"{file}"))


class _Reader:
    """Turns the file's content into a suite; every error names the file and the place in it."""

    def __init__(self, file: Path, quick: bool) -> None:
        self.file = file
        self.quick = quick

    def suite(self, content: dict[str, Any]) -> Suite:
        where = str(self.file)
        _only(content, _SUITE_KEYS, where)
        quick: dict[str, Any] = {}
        if self.quick:
            if "quick" not in content:
                raise CCAFLError(f"{where}: it has no section 'quick'.")
            quick = _mapping(content["quick"], f"{where}: quick")
            _only(quick, _QUICK_KEYS, f"{where}: quick")
        self.config = content.get("config")
        self.overrides = {
            **_flat(content.get("overrides"), f"{where}: overrides"),
            **_flat(quick.get("overrides"), f"{where}: quick.overrides"),
        }
        trunks = [self.row(entry, f"trunk {i + 1}", True) for i, entry in enumerate(_list(content, "trunks", where))]
        rows = [self.row(entry, f"row {i + 1}") for i, entry in enumerate(_list(content, "rows", where))]
        rows = [_compared(row, above) for row, above in zip(rows, [None, *rows], strict=False)]
        axes = []
        for entry in _list(content, "axes", where):
            axis, its_rows = self.axis(entry)
            axes.append(axis)
            rows += its_rows
        if "rows" in quick:
            names = _list(quick, "rows", f"{where}: quick")
            _check_names(names, [row.name for row in rows], f"{where}: quick.rows")
            axes = [axis for axis in axes if set(axis.rows) <= set(names)]
            rows = [row if row.name in names else replace(row, is_trunk=True) for row in rows]
        if all(row.is_trunk for row in rows):
            raise CCAFLError(f"{where}: it has no rows; list them below 'rows' or 'axes'.")
        seeds = _seeds(quick.get("seeds", content.get("seeds", [1])), where)
        columns = tuple(_list(content, "columns", where) or DEFAULT_COLUMNS)
        _check_names(columns, COLUMNS, f"{where}: columns")
        suite = Suite(
            name=self.file.stem + ("-quick" if self.quick else ""),
            title=str(content.get("title", self.file.stem)),
            rows=(*trunks, *rows),
            seeds=seeds,
            datasets=tuple(self.dataset(entry) for entry in _list(content, "datasets", where)),
            axes=tuple(axes),
            columns=columns,
            published_source=str(content.get("published_source", "")),
            notes=tuple(str(note) for note in _list(content, "notes", where)),
        )
        self.check_names(suite)
        return suite

    def row(self, entry: Any, place: str, is_trunk: bool = False) -> Row:
        where = f"{self.file}: {place}"
        entry = _mapping(entry, where)
        if not isinstance(entry.get("name"), str):
            raise CCAFLError(f"{where}: it has no name.")
        where = f"{self.file}: {place.split()[0]} {entry['name']!r}"
        _only(entry, _ROW_KEYS, where)
        published = {
            str(column): " / ".join(map(str, cell if isinstance(cell, list) else [cell]))
            for column, cell in _mapping(entry.get("published", {}), f"{where}: published").items()
        }
        return Row(
            name=entry["name"],
            config=self.config_file(entry, where),
            overrides={**self.overrides, **_flat(entry.get("overrides"), where)},
            branch=self.branch(entry.get("branch"), where),
            compare="" if is_trunk else str(entry.get("compare", "above")),
            note=str(entry.get("note", "")),
            published=published,
            is_trunk=is_trunk,
        )

    def axis(self, entry: Any) -> tuple[Axis, list[Row]]:
        where = f"{self.file}: axes"
        entry = _mapping(entry, where)
        for key in ("name", "key", "values"):
            if key not in entry:
                raise CCAFLError(f"{where}: an axis needs 'name', 'key' and 'values'; {key!r} is missing.")
        where = f"{where}: {entry['name']!r}"
        _only(entry, _AXIS_KEYS, where)
        values = _list(entry, "values", where)
        shared = _flat(entry.get("overrides"), where)
        rows = []
        for value in values:
            branch = entry.get("branch")
            if isinstance(branch, dict) and branch.get("epoch") == "value":
                branch = {**branch, "epoch": value}
            rows.append(
                Row(
                    name=f"{entry['name']} = {value}",
                    config=self.config_file(entry, where),
                    overrides={**self.overrides, **shared, str(entry["key"]): value},
                    branch=self.branch(branch, where),
                )
            )
        note = str(entry.get("note", ""))
        names = tuple(row.name for row in rows)
        return Axis(str(entry["name"]), str(entry["key"]), tuple(values), names, note), rows

    def config_file(self, entry: Mapping[str, Any], where: str) -> Path:
        """The row's file or the suite's; relative paths start at the suite's folder, then at the working folder."""
        name = entry.get("config", self.config)
        if name is None:
            raise CCAFLError(
                f"{where}: 'config' is missing here and for the whole suite. Add it in one of the two places."
            )
        for folder in (self.file.parent, Path()):
            if (folder / str(name)).is_file():
                return folder / str(name)
        raise CCAFLError(
            f"{where}: config: there is no file {str(name)!r} in {str(self.file.parent)!r} or in the working folder."
        )

    def branch(self, entry: Any, where: str) -> Branch | None:
        if entry is None:
            return None
        entry = _mapping(entry, f"{where}: branch")
        _only(entry, _BRANCH_KEYS, f"{where}: branch")
        epoch = entry.get("epoch")
        if not isinstance(entry.get("from"), str) or type(epoch) is not int or epoch < 0:
            raise CCAFLError(f"{where}: branch: expected {{from: NAME, epoch: NUMBER}}, found {entry!r}.")
        return Branch(entry["from"], epoch)

    def dataset(self, entry: Any) -> Dataset:
        where = f"{self.file}: datasets"
        if isinstance(entry, str):
            return Dataset((entry,), (entry,))
        entry = _mapping(entry, where)
        _only(entry, _DATASET_KEYS, where)
        return Dataset(tuple(_list(entry, "sources", where)), tuple(_list(entry, "targets", where)))

    def check_names(self, suite: Suite) -> None:
        """Checks that row names are unique, and that the rows in ``branch`` and ``compare`` exist."""
        names = [row.name for row in suite.rows]
        for name in names:
            if names.count(name) > 1:
                raise CCAFLError(f"{self.file}: two rows are named {name!r}.")
        for row in suite.rows:
            if row.branch is not None and row.branch.source not in names:
                raise unknown_name(f"{self.file}: row {row.name!r}: branch.from", row.branch.source, names)
            if row.compare and row.compare not in names:
                raise unknown_name(f"{self.file}: row {row.name!r}: compare", row.compare, [*names, "above", "none"])


def _compared(row: Row, above: Row | None) -> Row:
    """The row with ``compare`` replaced by the name of a row."""
    names = {"above": above.name if above is not None else "", "none": ""}
    return replace(row, compare=names.get(row.compare, row.compare))


def _flat(tree: Any, where: str) -> dict[str, Any]:
    """``{a: {b: 1}, c.d: 2}`` as ``{"a.b": 1, "c.d": 2}``."""

    def leaves(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in node.items():
            if isinstance(value, Mapping):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", value

    return dict(leaves(_mapping({} if tree is None else tree, where), ""))


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CCAFLError(f"{where}: expected 'key: value' lines, found {value!r}.")
    return value


def _list(node: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = node.get(key, [])
    if isinstance(value, (str, int, float)):
        return [value]
    if not isinstance(value, list):
        raise CCAFLError(f"{where}: {key}: expected a list, found {value!r}.")
    return value


def _seeds(seeds: Any, where: str) -> tuple[int, ...]:
    """A list of seeds, checked."""
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise CCAFLError(f"{where}: seeds: expected a list of whole numbers from 0, found {seeds!r}.")
    if len(set(seeds)) < len(seeds):
        raise CCAFLError(f"{where}: seeds: a seed occurs twice in {seeds!r}.")
    return tuple(seeds)


def _check_names(names: Iterable[Any], known: Iterable[str], where: str) -> None:
    """Raises an error for the first unknown name."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown_name(where, name, known)


def _only(node: Mapping[str, Any], allowed: Sequence[str] | set[str], where: str) -> None:
    for key in node:
        if key not in allowed:
            raise unknown_name(f"{where}: key", key, allowed)
