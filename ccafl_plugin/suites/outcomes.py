"""What the runs of a plan have left in their folders, by row, dataset and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ccafl_plugin.suites.results_file import ResultsFile
from ccafl_plugin.suites.run_folder import failure_of, results_of
from ccafl_plugin.suites.run_plan import Key, Plan, Run
from ccafl_plugin.suites.suite import Dataset, Row, Suite

Results = dict[str, Any]
"""The content of one ``results.json``."""


@dataclass(frozen=True)
class Pair:
    """What a group of score columns is about.

    Attributes:
        dataset: the suite's name of it; empty if the configurations decide.
        target: name of the dataset that is tested on.
        label: stands before the columns' names; empty if there is only one.
    """

    dataset: str
    target: str
    label: str


class Outcomes:
    """Results of a suite.

    Args:
        suite: whose rows are asked for.
        found: (row, dataset, seed) -> results.
        failures: name of a run -> its last line.
        missing: names of runs without results that have not failed.
    """

    def __init__(
        self,
        suite: Suite,
        found: dict[Key, Results],
        failures: dict[str, str] | None = None,
        missing: Sequence[str] = (),
    ) -> None:
        self.suite = suite
        self.found = found
        self.failures = failures or {}
        self.missing = list(missing)
        self.pairs = self._pairs()

    @classmethod
    def of_plan(cls, suite: Suite, plan: Plan, file: ResultsFile | None = None) -> Outcomes:
        """What the folders of a plan hold; with a file of results, what that holds."""
        found: dict[Key, Results] = {}
        failures: dict[str, str] = {}
        missing: list[Run] = []
        for key, run in plan.run_of.items():
            content = results_of(run, file)
            if content is not None:
                found[key] = content
            elif failure_of(run):
                failures[run.name] = failure_of(run)
            elif run not in missing:
                missing.append(run)
        return cls(suite, found, failures, _names(plan, missing))

    @property
    def measured(self) -> dict[Key, Results]:
        """The results of the rows that are shown, without published ones."""
        rows = {row.name for row in self.suite.shown if not row.is_published}
        return {key: content for key, content in self.found.items() if key[0] in rows}

    def _pairs(self) -> list[Pair]:
        datasets = self.suite.datasets or (Dataset((), ()),)
        pairs = []
        for dataset in datasets:
            targets = list(dataset.targets)
            for (_, name, _), content in self.found.items():
                if name == dataset.name:
                    targets += [target for target in content["scores"] if target not in targets]
            sources = f"{' + '.join(dataset.sources)} -> " if dataset.sources else ""
            pairs += [Pair(dataset.name, target, f"{sources}{target}") for target in targets]
        return pairs if len(pairs) != 1 else [Pair(pairs[0].dataset, pairs[0].target, "")]

    def of(self, row: str, dataset: str | None = None) -> dict[int, Results]:
        """Seed -> results of a row on a dataset; on its first if none is given."""
        name = dataset if dataset is not None else (self.pairs[0].dataset if self.pairs else "")
        return {seed: content for (r, d, seed), content in self.found.items() if (r, d) == (row, name)}

    def values(self, row: str, pair: Pair, read: Callable[[Results], Any]) -> dict[int, float]:
        """Seed -> a number of a row's results; seeds whose results don't have it are left out."""
        found = {}
        for seed, content in self.of(row, pair.dataset).items():
            try:
                value = read(content)
            except (KeyError, IndexError, TypeError):
                continue
            if value is not None:
                found[seed] = float(value)
        return found

    def scores(self, row: str, pair: Pair, name: str) -> dict[int, float]:
        """Seed -> a score in percent."""
        return self.values(row, pair, lambda content: 100 * content["scores"][pair.target][name])

    def seeds_of(self, row: Row) -> int:
        """How many seeds of a row are finished on every dataset."""
        datasets = {dataset.name for dataset in self.suite.datasets} or {""}
        return min(len(self.of(row.name, dataset)) for dataset in datasets)


def _names(plan: Plan, missing: Sequence[Run]) -> list[str]:
    """Names of runs; a seed of which all runs are among them is named once."""
    whole = [
        seed
        for seed in dict.fromkeys(run.seed for run in plan.runs)
        if len(missing) > 1 and all(run in missing for run in plan.runs if run.seed == seed)
    ]
    seeds = f"all rows with seed{'s' if len(whole) > 1 else ''} {', '.join(map(str, whole))}"
    return [*(run.name for run in missing if run.seed not in whole), *([seeds] if whole else [])]
