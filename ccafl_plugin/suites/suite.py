"""The content of a suite: rows of a table. Each row is a configuration that runs with several seeds and datasets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_COLUMNS = ("scores", "difference", "published")
"""Groups of columns if a suite names none."""


@dataclass(frozen=True)
class Branch:
    """The checkpoint from which a row continues.

    Attributes:
        source: name of a trunk or of another row.
        epoch: number of the source's epochs before the branch; 0: after stage 1.
    """

    source: str
    epoch: int


@dataclass(frozen=True)
class Row:
    """A row of the table, or a trunk that rows branch from.

    Attributes:
        name: name of the row, in its first cell.
        config: its configuration file.
        overrides: KEY -> value, settings that override the file.
        branch: checkpoint from which it continues; None: it is trained from the first epoch.
        compare: name of the row with which it is compared; empty: none.
        note: text below the table.
        published: column -> cell with scores that other authors have published.
        is_trunk: True for a row that is not shown, and that only runs if another row needs it.
        is_published: True for scores of other authors, which are never run.
    """

    name: str
    config: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    branch: Branch | None = None
    compare: str = ""
    note: str = ""
    published: dict[str, str] = field(default_factory=dict)
    is_trunk: bool = False
    is_published: bool = False


@dataclass(frozen=True)
class Axis:
    """One setting that is varied while all others stay the same.

    Attributes:
        name: name of the figure.
        key: key of the setting.
        values: its values.
        rows: names of its rows, in the order of the values.
        note: text below the figure.
    """

    name: str
    key: str
    values: tuple[Any, ...]
    rows: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Dataset:
    """Datasets for training and test.

    Attributes:
        sources: names of the datasets to train on.
        targets: names of the datasets to test on.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def name(self) -> str:
        """The sources, and the targets if they differ."""
        sources = " + ".join(self.sources)
        return sources if self.sources == self.targets else f"{sources} -> {' + '.join(self.targets)}"


@dataclass(frozen=True)
class Suite:
    """The content of a suite's file.

    Attributes:
        name: name of the file, without its extension; with ``-quick`` for the quick form.
        title: title above the table.
        rows: trunks first, then the rows in the order of the table.
        seeds: every row runs with each seed.
        datasets: every row runs on each dataset; empty: the datasets of the configuration.
        axes: parameter studies.
        columns: groups of columns, names in ``ccafl_plugin.suites.columns.COLUMNS``.
        published_source: source of the published scores.
        notes: lines below the table.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    datasets: tuple[Dataset, ...] = ()
    axes: tuple[Axis, ...] = ()
    columns: tuple[str, ...] = DEFAULT_COLUMNS
    published_source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Row, ...]:
        """The rows of the table."""
        return tuple(row for row in self.rows if not row.is_trunk)
