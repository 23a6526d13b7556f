"""What a run's folder holds, read without its data and without its model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from ccafl_plugin.config import load_config
from ccafl_plugin.engine import manifests
from ccafl_plugin.engine.checkpoints import find_manifest
from ccafl_plugin.report.scalars import FILES, Series, read_scalars
from ccafl_plugin.runs import results
from ccafl_plugin.runs.run_files import CONFIG_FILE
from ccafl_plugin.utils.errors import CCAFLError

BEGINNINGS = ("ccafl.branch_from", "''", "model.resume", "''")
"""Settings that say where a training begins; what they name may be gone, and a report does not train."""
SUITE_FILE = "run.json"
"""In which a suite says which of its rows a run is."""


@dataclass
class RecordedRun:
    """A run.

    Attributes:
        path: its folder.
        name: a short one, unlike those of the other runs on the page.
        results: of ``results.json``; empty without it.
        config: of ``config.yaml``; None if it is missing or can't be read.
        manifest: of the newest checkpoint; empty without one.
        scalars: of its TensorBoard files.
        missing: lines that say what is not there and why.
        origin: checkpoint from which it was branched; empty: none.
    """

    path: Path
    name: str
    results: dict[str, Any] = field(default_factory=dict)
    config: CfgNode | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    scalars: Mapping[str, Series] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    origin: str = ""

    @classmethod
    def read(cls, path: Path, name: str = "") -> RecordedRun:
        """Reads what is there.

        Raises:
            CCAFLError: there is no such folder.
        """
        if not path.is_dir():
            raise CCAFLError(f"RUN: there is no folder {str(path)!r}; name the data.save_dir of a run.")
        run = cls(path, name or path.name)
        run._read_config()
        run._read_results()
        run._read_manifest()
        run._read_scalars()
        if not (run.results or run.config is not None or run.manifest):
            run.missing = [
                f"{path.name} is no folder of ccafl-train: it has no {results.FILE}, {CONFIG_FILE} and checkpoint."
            ]
        return run

    @property
    def epochs(self) -> int:
        """Epochs that the run was to train; 0 if nothing says it."""
        if self.config is not None:
            return int(self.config.train.max_epoch)
        epochs = self.results.get("epochs")
        return epochs if isinstance(epochs, int) else 0

    @property
    def finished_epochs(self) -> int:
        """Epochs that it has trained so far, by its results, newest checkpoint and logged numbers."""
        logged = self.scalars.get("Skipped_steps/of_epoch")
        counts = [self.manifest.get("epoch"), self.results.get("epochs"), logged and max(logged.steps, default=-1) + 1]
        return max([count for count in counts if isinstance(count, int)], default=0)

    @property
    def is_finished(self) -> bool:
        """Whether it has written its results."""
        return bool(self.results)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Facts about the association of each epoch that had one."""
        found = self.results.get("association") or _dict(self.manifest.get("history")).get("association")
        entries = [dict(entry) for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        return entries or _from_scalars(self.scalars)

    def of_results(self, key: str) -> dict[str, Any]:
        """A part of the results; empty if it is missing or something else."""
        return _dict(self.results.get(key))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are not the defaults; empty if nothing says them."""
        return self.of_results("settings") or _dict(self.manifest.get("settings"))

    def iterations(self) -> float:
        """Iterations of an epoch; 0 if nothing was logged."""
        logged = [
            max(series.steps) + 1 for tag, series in self.scalars.items() if tag.startswith("Train/") and series.steps
        ]
        total = max(logged, default=0)
        begun, done = (
            max(self.scalars[tag].steps, default=-1) + 1 if tag in self.scalars else 0
            for tag in (
                next((tag for tag in self.scalars if tag.startswith("Learning_rate/")), ""),
                "Skipped_steps/of_epoch",
            )
        )
        if done and begun == done:
            return total / done
        if self.config is not None and self.config.sampler.train_sampler == "ProxySampler":
            return float(self.config.ccafl.iters_per_epoch)
        return total / (begun or (self.epochs if self.is_finished else 0) or 1)

    def _read_config(self) -> None:
        file = self.path / CONFIG_FILE
        if not file.is_file():
            self.missing.append(
                f"No {CONFIG_FILE}: the settings are those that other files name, and the model can't be rebuilt."
            )
            return
        try:
            self.origin = str(_nested(yaml.safe_load(file.read_text(encoding="utf-8")), "ccafl", "branch_from") or "")
            try:
                self.config = load_config(file, BEGINNINGS)
            except CCAFLError:  # a branch whose first epochs have no active term of its own
                self.config = load_config(file)
        except (CCAFLError, OSError, ValueError, yaml.YAMLError) as error:
            self.missing.append(f"{CONFIG_FILE} can't be read: {' '.join(str(error).split())[:200]}")

    def _read_results(self) -> None:
        file = self.path / results.FILE
        found = results.read(self.path)
        if found is None:
            broken = "can't be read" if file.is_file() else "is not there: the run has not finished"
            self.missing.append(f"{results.FILE} {broken}; what is shown is of its checkpoints and logged numbers.")
        self.results = found or {}

    def _read_manifest(self) -> None:
        newest = manifests.manifests(self.path)[-1:]
        try:
            self.manifest = manifests.read(newest[0], "RUN") if newest else {}
        except CCAFLError as error:
            self.missing.append(str(error))

    def _read_scalars(self) -> None:
        try:
            self.scalars = read_scalars(self.path)
        except CCAFLError as error:
            self.missing.append(f"Training curves: {error}")
            return
        self._read_origin()
        if not self.scalars:
            self.missing.append(f"No training curves: there are no logged numbers ({FILES}).")

    def _read_origin(self) -> None:
        """Adds the numbers of the run from which this one was branched, up to that epoch."""
        given = self.origin
        if not given:
            return
        place = Path(given).expanduser()
        folder = next((each for each in (place, *place.parents[:2]) if each.is_dir()), None)
        try:
            manifest = manifests.read(find_manifest(given, "ccafl.branch_from"), "ccafl.branch_from")
            own = {} if folder is None else read_scalars(folder)
        except CCAFLError:
            self.missing.append(f"Training curves before the branch: the run that it continues, {given}, is not there.")
            return
        epoch = manifest["epoch"]
        before = RecordedRun(place, "", config=self.config, scalars=own)
        first = {"Train": epoch * before.iterations(), "Stage1": float("inf")}
        merged = {tag: series.before(first.get(tag.partition("/")[0], epoch)) for tag, series in own.items()}
        self.scalars = {
            tag: merged.get(tag, Series((), ())).followed_by(self.scalars.get(tag, Series((), ())))
            for tag in dict.fromkeys([*merged, *self.scalars])
        }


def read_runs(paths: Sequence[Path]) -> list[RecordedRun]:
    """The runs, with names that differ.

    Raises:
        CCAFLError: a folder does not exist.
    """
    runs = [RecordedRun.read(path) for path in paths]
    for run, name in zip(runs, names_of(paths), strict=True):
        run.name = name
    return runs


def names_of(paths: Sequence[Path]) -> list[str]:
    """Short names: the row of a suite, with its seed if need be, or the last parts of the path that differ."""
    for with_seed in (False, True):
        rows = [_row(path, with_seed) for path in paths]
        if all(rows) and len(set(rows)) == len(rows):
            return rows
    parts = [path.resolve().parts for path in paths]
    least = 2 if any(re.fullmatch(r"seed-\d+", each[-1]) for each in parts) else 1
    for depth in range(least, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(each[-least:])} ({number})" for number, each in enumerate(parts, start=1)]


def _row(path: Path, with_seed: bool) -> str:
    try:
        content = _dict(json.loads((path / SUITE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return ""
    row, seed = content.get("row"), content.get("seed")
    name = row if isinstance(row, str) else ""
    return f"{name}, seed {seed}" if name and with_seed else name


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _nested(content: Any, *keys: str) -> Any:
    for key in keys:
        content = _dict(content).get(key)
    return content


def _from_scalars(scalars: Mapping[str, Series]) -> list[dict[str, Any]]:
    epochs: dict[int, dict[str, Any]] = {}
    for tag, series in scalars.items():
        if tag.startswith("Association/"):
            for step, value in zip(series.steps, series.values, strict=True):
                epochs.setdefault(step, {"epoch": step})[tag.removeprefix("Association/")] = value
    return [epochs[epoch] for epoch in sorted(epochs)]
