"""A suite: rows of a table, each a configuration, to be run over several seeds and datasets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_COLUMNS = ("scores", "difference", "published")
"""Groups of columns of a table whose suite names none."""


@dataclass(frozen=True)
class Branch:
    """Where a row goes on from.

    Attributes:
        source: name of a trunk or of another row.
        epoch: after how many of its epochs; 0: after stage 1.
    """

    source: str
    epoch: int


@dataclass(frozen=True)
class Row:
    """A row of the table, or a trunk that rows branch from.

    Attributes:
        name: its first cell.
        config: its configuration file.
        overrides: KEY -> value on top of the file.
        branch: None: trained from the first epoch.
        compare: name of the row that its difference is to; empty: none.
        note: stands below the table.
        published: column -> cell, of what somebody else has published.
        is_trunk: not shown, and run only if a row needs it.
        is_published: never run; somebody else's scores.
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
    """One setting that is varied while all others stay.

    Attributes:
        name: of the figure.
        key: the setting.
        values: what it is set to.
        rows: the names of its rows, in the order of the values.
        note: stands below the figure.
    """

    name: str
    key: str
    values: tuple[Any, ...]
    rows: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Dataset:
    """What is trained and tested on.

    Attributes:
        sources: names of the datasets to train on.
        targets: names of the datasets to test on.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def name(self) -> str:
        """The sources; the targets too where they are others."""
        sources = " + ".join(self.sources)
        return sources if self.sources == self.targets else f"{sources} -> {' + '.join(self.targets)}"


@dataclass(frozen=True)
class Suite:
    """What a suite's file says.

    Attributes:
        name: of the file, without its ending; with ``-quick`` for the quick form.
        title: stands above the table.
        rows: trunks first, then the rows in the order of the table.
        seeds: every row is run with each.
        datasets: every row is run on each; empty: what the configuration says.
        axes: parameter studies.
        columns: groups of columns, names of ``ccafl_plugin.suites.columns.COLUMNS``.
        published_source: where the published figures stand.
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
