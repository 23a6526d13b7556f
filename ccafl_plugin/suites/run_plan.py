"""Plans the runs of a suite: a checked configuration and a folder for each row, dataset and seed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from ccafl_plugin.config import load_config
from ccafl_plugin.runs.results import settings_of
from ccafl_plugin.suites.branching import difference_before
from ccafl_plugin.suites.suite import Dataset, Row, Suite
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.provenance import digest_of

Key = tuple[str, str, int]
"""Row, dataset and seed."""


@dataclass
class Run:
    """One training run, which is one process.

    Attributes:
        row: name of the first row that needs this run.
        dataset: name of the dataset; empty: the dataset of the row's configuration.
        seed: seed of the run.
        config: the configuration, without folder and checkpoint.
        digest: identifies the settings; runs with equal digests give equal results.
        folder: folder for all files of the run.
        source: the run from whose checkpoint it continues.
        branch_epoch: number of the source's epochs in that checkpoint.
        kept_epochs: epochs whose checkpoints are kept, because other runs continue from them.
    """

    row: str
    dataset: str
    seed: int
    config: CfgNode
    digest: str
    folder: Path
    source: Run | None = None
    branch_epoch: int = 0
    kept_epochs: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Name for messages."""
        return ", ".join(part for part in (self.row, self.dataset, f"seed {self.seed}") if part)

    @property
    def epochs(self) -> int:
        """Number of epochs to train, without those before the branch."""
        longest: int = self.config.train.max_epoch
        return longest - (self.branch_epoch if self.source is not None else 0)


@dataclass(frozen=True)
class Plan:
    """The runs of a suite.

    Attributes:
        runs: each run once; sources come before the runs that continue from them, and the first seed comes first.
        run_of: the run of each row, dataset and seed; rows with equal settings share a run.
    """

    runs: tuple[Run, ...]
    run_of: dict[Key, Run]


def make_plan(
    suite: Suite, out: Path, root: str | None = None, pairs: Sequence[str] = (), check_files: bool = True
) -> Plan:
    """Plans the runs of a suite.

    Args:
        suite: rows, seeds and datasets.
        out: folder of all runs. A run gets ``out/ROW/seed-N``, or with several datasets ``out/ROW/DATASET/seed-N``.
        root: data root; None: the root in the configurations.
        pairs: KEY VALUE KEY VALUE ..., which override all settings in the suite.
        check_files: whether files that a configuration names, such as weights, must exist; not needed to show results.

    Raises:
        CCAFLError: a configuration is invalid, or a row branches from a run whose settings differ before the branch.
    """
    by_name = {row.name: row for row in suite.rows}
    order = _with_sources(suite, by_name)
    folders = [_slug(row.name) for row in order]
    for row, slug in zip(order, folders, strict=True):
        if folders.count(slug) > 1:
            raise CCAFLError(
                f"{suite.name}: the row {row.name!r} gets the folder {slug!r}, but another row has it too. Rename one."
            )
    planned: dict[str, Run] = {}
    run_of: dict[Key, Run] = {}
    for seed in suite.seeds:
        for dataset in suite.datasets or (None,):
            name = dataset.name if dataset is not None else ""
            for row in order:
                config = _configuration(suite, row, dataset, seed, root, pairs, check_files)
                digest = digest_of(settings_of(config))
                place = out / _slug(row.name) / (_slug(name) if len(suite.datasets) > 1 else "") / f"seed-{seed}"
                run = planned.get(digest)
                if run is None:
                    run = planned[digest] = Run(row.name, name, seed, config, digest, place)
                    if row.branch is not None:
                        _attach(suite, run, row, run_of[row.branch.source, name, seed])
                run_of[row.name, name, seed] = run
    return Plan(tuple(planned.values()), run_of)


def _with_sources(suite: Suite, by_name: dict[str, Row]) -> list[Row]:
    """The rows of the table and the rows that they branch from; each comes after its source."""
    order: list[Row] = []

    def visit(row: Row, path: tuple[str, ...]) -> None:
        if row.name in path:
            raise CCAFLError(f"{suite.name}: the rows {' -> '.join((*path, row.name))} branch from each other.")
        if row.branch is not None:
            visit(by_name[row.branch.source], (*path, row.name))
        if row not in order:
            order.append(row)

    for row in suite.shown:
        visit(row, ())
    return order


def _configuration(
    suite: Suite,
    row: Row,
    dataset: Dataset | None,
    seed: int,
    root: str | None,
    pairs: Sequence[str],
    check_files: bool,
) -> CfgNode:
    overrides = {**row.overrides, "train.seed": seed}
    if dataset is not None:
        overrides |= {"data.sources": dataset.sources, "data.targets": dataset.targets}
    words = [word for key, value in overrides.items() for word in (key, as_word(value))]
    try:
        return load_config(row.config, [*words, *pairs], check_files=check_files, root=root)
    except CCAFLError as error:
        raise CCAFLError(f"{suite.name}: row {row.name!r}: {error}") from error


def _attach(suite: Suite, run: Run, row: Row, source: Run) -> None:
    """Sets the run and epoch from which a run continues."""
    epoch = row.branch.epoch if row.branch is not None else 0
    for side in (run, source):
        if epoch > side.config.train.max_epoch:
            raise CCAFLError(
                f"{suite.name}: row {row.name!r}: branch.epoch {epoch} is larger than the number of epochs of "
                f"{side.row!r}, {side.config.train.max_epoch}."
            )
        if side.config.loss.name != "ccafl":
            raise CCAFLError(
                f"{suite.name}: row {row.name!r}: {side.row!r} cannot branch, because its loss.name is not ccafl."
            )
    key = difference_before(run.config, source.config, epoch)
    if key:
        raise CCAFLError(
            f"{suite.name}: row {row.name!r} cannot branch from {source.row!r} at epoch {epoch}: the setting {key} "
            "makes the two runs differ before that epoch."
        )
    run.source, run.branch_epoch = source, epoch
    source.kept_epochs.add(epoch)


def as_word(value: Any) -> str:
    """A value in the form that the command line needs after a key."""
    return json.dumps(value)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "row"
