"""The results of the runs of a plan, by row, dataset and seed."""

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
    """The dataset and target of a group of score columns.

    Attributes:
        dataset: the suite's name of the dataset; empty if the configurations name it.
        target: name of the dataset for the test.
        label: prefix of the columns' names; empty if there is only one pair.
    """

    dataset: str
    target: str
    label: str


class Outcomes:
    """Results of a suite.

    Args:
        suite: the suite.
        found: (row, dataset, seed) -> results.
        failures: name of a failed run -> its last line.
        missing: names of runs that have neither results nor failed.
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
        """Reads the results from the folders of a plan, or from a file of results if one is given."""
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
        """The results of the rows in the table, without published rows."""
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
        """Seed -> results of a row on a dataset; by default on the first one."""
        name = dataset if dataset is not None else (self.pairs[0].dataset if self.pairs else "")
        return {seed: content for (r, d, seed), content in self.found.items() if (r, d) == (row, name)}

    def values(self, row: str, pair: Pair, read: Callable[[Results], Any]) -> dict[int, float]:
        """Seed -> a number from a row's results; seeds without this number are left out."""
        found = {}
        for seed, content in self.of(row, pair.dataset).items():
            try:
                value = read(content)
                number = None if value is None else float(value)
            except (KeyError, IndexError, TypeError, ValueError):
                continue
            if number is not None:
                found[seed] = number
        return found

    def scores(self, row: str, pair: Pair, name: str) -> dict[int, float]:
        """Seed -> a score in percent."""
        return self.values(row, pair, lambda content: 100 * content["scores"][pair.target][name])

    def seeds_of(self, row: Row) -> int:
        """Number of seeds of a row that are finished on every dataset."""
        datasets = {dataset.name for dataset in self.suite.datasets} or {""}
        return min(len(self.of(row.name, dataset)) for dataset in datasets)


def _names(plan: Plan, missing: Sequence[Run]) -> list[str]:
    """Names of missing runs. If all runs of a seed are missing, the seed is named once instead."""
    whole = [
        seed
        for seed in dict.fromkeys(run.seed for run in plan.runs)
        if len(missing) > 1 and all(run in missing for run in plan.runs if run.seed == seed)
    ]
    seeds = f"all rows with seed{'s' if len(whole) > 1 else ''} {', '.join(map(str, whole))}"
    return [*(run.name for run in missing if run.seed not in whole), *([seeds] if whole else [])]
