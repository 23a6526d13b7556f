"""The runs of a suite: for each row, dataset and seed a checked configuration and a folder."""

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
    """One process.

    Attributes:
        row: name of the row that it was first planned for.
        dataset: name of the dataset; empty: what the row's configuration says.
        seed: of the run.
        config: the configuration, without folder and checkpoint.
        digest: names the settings; equal in runs with the same outcome.
        folder: of everything that the run writes.
        source: the run that it goes on from.
        branch_epoch: after how many of the source's epochs.
        kept_epochs: whose checkpoints others go on from.
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
        """For people."""
        return ", ".join(part for part in (self.row, self.dataset, f"seed {self.seed}") if part)

    @property
    def epochs(self) -> int:
        """To be trained, those before the branch not counted."""
        longest: int = self.config.train.max_epoch
        return longest - (self.branch_epoch if self.source is not None else 0)


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        runs: each once, sources before those that go on from them, the first seed's first.
        run_of: the run that a row takes its numbers from; rows with equal settings share one.
    """

    runs: tuple[Run, ...]
    run_of: dict[Key, Run]


def make_plan(suite: Suite, out: Path, root: str | None = None, pairs: Sequence[str] = ()) -> Plan:
    """Plans the runs of a suite.

    Args:
        suite: rows, seeds and datasets.
        out: folder of all runs: each gets ``out/ROW/seed-N``, or ``out/ROW/DATASET/seed-N`` of several datasets.
        root: data root; None: what the configurations say.
        pairs: KEY VALUE KEY VALUE ..., which win over everything in the suite.

    Raises:
        CCAFLError: a configuration is wrong, or a row branches from a run that it has less in common with.
    """
    by_name = {row.name: row for row in suite.rows}
    order = _with_sources(suite, by_name)
    folders = [_slug(row.name) for row in order]
    for row, slug in zip(order, folders, strict=True):
        if folders.count(slug) > 1:
            raise CCAFLError(f"{suite.name}: the name {row.name!r} gives the folder {slug!r}, another row's too.")
    planned: dict[str, Run] = {}
    run_of: dict[Key, Run] = {}
    for seed in suite.seeds:
        for dataset in suite.datasets or (None,):
            name = dataset.name if dataset is not None else ""
            for row in order:
                config = _configuration(suite, row, dataset, seed, root, pairs)
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
    """The rows that are shown and those they go on from, each after its source."""
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
    suite: Suite, row: Row, dataset: Dataset | None, seed: int, root: str | None, pairs: Sequence[str]
) -> CfgNode:
    overrides = {**row.overrides, "train.seed": seed}
    if dataset is not None:
        overrides |= {"data.sources": dataset.sources, "data.targets": dataset.targets}
    words = [word for key, value in overrides.items() for word in (key, as_word(value))]
    try:
        return load_config(row.config, [*words, *pairs], root=root)
    except CCAFLError as error:
        raise CCAFLError(f"{suite.name}: row {row.name!r}: {error}") from error


def _attach(suite: Suite, run: Run, row: Row, source: Run) -> None:
    """Makes a run go on from another one's checkpoint."""
    epoch = row.branch.epoch if row.branch is not None else 0
    for side in (run, source):
        if epoch > side.config.train.max_epoch:
            raise CCAFLError(
                f"{suite.name}: row {row.name!r}: branch.epoch {epoch} is beyond the {side.config.train.max_epoch} "
                f"epochs of {side.row!r}."
            )
        if side.config.loss.name != "ccafl":
            raise CCAFLError(f"{suite.name}: row {row.name!r}: {side.row!r} can't branch, its loss.name isn't ccafl.")
    key = difference_before(run.config, source.config, epoch)
    if key:
        raise CCAFLError(
            f"{suite.name}: row {row.name!r} can't branch from {source.row!r} at epoch {epoch}: {key} makes them "
            "differ before it."
        )
    run.source, run.branch_epoch = source, epoch
    source.kept_epochs.add(epoch)


def as_word(value: Any) -> str:
    """A value as it stands on the command line behind its key."""
    return json.dumps(value)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "row"
