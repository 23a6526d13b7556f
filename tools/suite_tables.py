"""The tables of suites that have been run, in the documents that show them; made of ``docs/results``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ccafl_plugin.suites.excerpt import excerpt
from ccafl_plugin.suites.figures import draw_figures
from ccafl_plugin.suites.generated_pages import Document, NothingToShow, update
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.results_file import ResultsFile
from ccafl_plugin.suites.run_plan import make_plan
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
    "synthetic_ablation": Excerpt(
        ("scores", "association"),
        {
            "Intra-camera (ICDL)": "Learning inside the cameras alone",
            "+ association, inter-camera contrast": "+ association and learning across cameras",
            "+ ICAL: all of CCAFL": "CCAFL as in the paper",
            "ccafl_margin: both, ICDL as a mean over the cameras": "CCAFL with our settings (the first command's)",
            "Full labels, ICDL on as a mean over the cameras": "The same with true identities across cameras",
        },
    )
}
"""Suites of which a part stands in the README."""


def outcomes_of(name: str, results: Path | None = None) -> Outcomes:
    """What the file of a suite's results holds.

    Raises:
        NothingToShow: there is none.
    """
    file = (results or RESULTS) / f"{name}.json"
    if not file.exists():
        raise NothingToShow(f"there is no {file}: tools/suite.py {name}.yaml --results {file} makes it.")
    suite = load_suite(ROOT / "configs" / "suites" / f"{name}.yaml")
    nowhere = file.with_suffix("")  # where no folder of a run is
    plan = make_plan(suite, nowhere, None, [])
    return Outcomes.of_plan(suite, plan, ResultsFile(file))


def _table(name: str) -> Callable[[Path], str]:
    return lambda results: make_table(outcomes_of(name, results)).strip()


def _excerpt(name: str) -> Callable[[Path], str]:
    columns, labels = IN_README[name]
    return lambda results: make_table(excerpt(outcomes_of(name, results), labels), columns=columns, brief=True).strip()


def has_figures(outcomes: Outcomes) -> bool:
    """Whether a suite's axes are drawn: a curve of one seed tells nothing."""
    return bool(outcomes.suite.axes) and len(outcomes.suite.seeds) > 1


def whole_suites() -> list[str]:
    """Suites whose every run is among the results; of others there is nothing to show yet."""
    names = sorted(file.stem for file in RESULTS.glob("*.json"))
    return [name for name in names if not outcomes_of(name).missing]


def documents() -> list[Document]:
    """One per table: every whole suite is in docs/results.md, a part of some is in the README."""
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
