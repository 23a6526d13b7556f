"""Writes the tables of finished suites into the documents that show them, from ``docs/results``."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ccafl_plugin.suites.excerpt import excerpt
from ccafl_plugin.suites.figures import draw_figures
from ccafl_plugin.suites.generated_pages import Document, NothingToShow, update
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.results_file import ResultsFile
from ccafl_plugin.suites.run_plan import Plan, make_plan
from ccafl_plugin.suites.suite import Suite
from ccafl_plugin.suites.suite_file import load_suite
from ccafl_plugin.suites.suite_table import make_table
from ccafl_plugin.utils.files import written_line

COMMAND = "python tools/suite_tables.py --write"
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
FIGURES = ROOT / "docs" / "figures"


class Excerpt(NamedTuple):
    """Part of a suite's table, for the README.

    Attributes:
        columns: groups of columns.
        labels: name of a row -> what the README calls it.
    """

    columns: tuple[str, ...]
    labels: dict[str, str]


IN_README = {
    "market1501_clip_tiny": Excerpt(
        ("scores", "association"),
        {
            "Untrained": "The encoder as it is, trained on rendered people",
            "Intra-camera (ICDL to the end)": "Learning inside the cameras alone",
            "The paper's method, nearest_pairs 1.7": "CCAFL as in the paper",
            "The paper's method with margin": "CCAFL with our association",
            "ccafl_margin": "Our recipe ccafl_margin",
            "ccafl_margin, camera-wise normalisation": "The same, camera means taken out at test",
            "ccafl_margin's terms with full labels": "Our recipe with true identities",
            "Softmax + triplet, full labels": "Softmax + triplet with true identities",
        },
    )
}
"""Suites with a part in the README."""


def outcomes_of(name: str, results: Path | None = None) -> Outcomes:
    """Reads the results of a suite from its file; rows may lack seeds.

    Raises:
        NothingToShow: there is none.
    """
    file = (results or RESULTS) / f"{name}.json"
    if not file.exists():
        raise NothingToShow(f"there is no {file}: tools/suite.py {name}.yaml --results {file} makes it.")
    suite, plan = _planned(name)
    return Outcomes.of_plan(suite, plan, ResultsFile(file))


@functools.cache
def _planned(name: str) -> tuple[Suite, Plan]:
    """A suite and its plan; reading all of its configurations takes seconds."""
    suite = load_suite(ROOT / "configs" / "suites" / f"{name}.yaml")
    return suite, make_plan(suite, ROOT / "no folders of runs" / name, check_files=False)


def _table(name: str) -> Callable[[Path], str]:
    return lambda results: make_table(outcomes_of(name, results)).strip()


def _excerpt(name: str) -> Callable[[Path], str]:
    columns, labels = IN_README[name]
    return lambda results: make_table(excerpt(outcomes_of(name, results), labels), columns=columns, brief=True).strip()


def has_figures(outcomes: Outcomes) -> bool:
    """True if a suite's axes are drawn, which needs several seeds."""
    return bool(outcomes.suite.axes) and len(outcomes.suite.seeds) > 1


def whole_suites() -> list[str]:
    """Suites with results of all their rows with one seed or more; other suites are not shown."""
    names = sorted(file.stem for file in RESULTS.glob("*.json"))
    return [name for name in names if has_all_rows(outcomes_of(name))]


def has_all_rows(outcomes: Outcomes) -> bool:
    """True if each row has results with at least one seed."""
    return {row.name for row in outcomes.suite.shown} <= {row for row, _, _ in outcomes.measured}


def documents() -> list[Document]:
    """One document per table: every complete suite is in docs/results.md, and a part of some suites in the README."""
    page, readme = ROOT / "docs" / "results.md", ROOT / "README.md"
    shown = whole_suites()
    return [
        *(Document(page, name, COMMAND, _table(name)) for name in shown),
        *(Document(readme, name, COMMAND, _excerpt(name)) for name in shown if name in IN_README),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables, or writes them and the figures into the documents."""
    parser = argparse.ArgumentParser(prog="python tools/suite_tables.py", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into README.md, docs/results.md and docs/figures")
    given = parser.parse_args(arguments)
    written: dict[Path, None] = {}
    try:
        for document in documents():
            if given.write:
                update(document, RESULTS)
                outcomes = outcomes_of(document.name)
                figures = draw_figures(outcomes, FIGURES) if has_figures(outcomes) else []
                written |= dict.fromkeys([document.path, *figures])
            elif document.path.name != "README.md":
                print(document.make(RESULTS), end="\n\n")
    except NothingToShow as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.write:
        print(written_line(ROOT, (file.relative_to(ROOT).as_posix() for file in written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
