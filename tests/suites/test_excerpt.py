"""Some rows of a suite's table, under other names."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ccafl_plugin.suites.excerpt import excerpt
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.suite_table import make_table
from ccafl_plugin.utils.errors import CCAFLError
from tests.suites.small_suites import NO_ICAL, Pretender
from tests.suites.test_suite_table import measured

ROWS = [
    {"name": "first", "overrides": NO_ICAL, "note": "a note"},
    {"name": "second"},
    {"name": "third", "overrides": {"ccafl.terms.ical.margin": 0.1}},
]
SCORES = {"first": 0.1, "second": 0.3, "third": 0.7}


@pytest.fixture
def outcomes(tmp_path: Path) -> Outcomes:
    return measured(tmp_path, Pretender(lambda row, seed: SCORES[row]), rows=ROWS)[0]


def cells(outcomes: Outcomes, *columns: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(make_table(outcomes, "csv", columns))))[1:]


def test_rows_are_those_of_the_whole_table(outcomes: Outcomes) -> None:
    whole = {name: rest for name, *rest in cells(outcomes, "scores")}
    shown = cells(excerpt(outcomes, {"third": "the last", "first": "the first"}), "scores")
    assert shown == [["the last", *whole["third"]], ["the first", *whole["first"]]]


def test_differences_stay_those_to_the_same_row(outcomes: Outcomes) -> None:
    whole = {name: rest for name, *rest in cells(outcomes, "difference")}
    shown = cells(excerpt(outcomes, {"first": "a", "third": "c"}), "scores", "difference")
    assert whole["third"] == shown[1][3:]
    assert "c: the difference is to 'second'." in make_table(
        excerpt(outcomes, {"first": "a", "third": "c"}), columns=["difference"]
    )


def test_brief_leaves_notes_and_versions_out(outcomes: Outcomes) -> None:
    few = excerpt(outcomes, {"first": "a"})
    assert "- a: a note" in make_table(few) and "Measured with" in make_table(few)
    brief = make_table(few, brief=True)
    assert "a note" not in brief and "Measured with" not in brief
    assert "Seeds 1, 2" in brief


def test_what_failed_is_said_in_brief_too(tmp_path: Path, outcomes: Outcomes) -> None:
    outcomes.failures["first/seed-1"] = "out of memory"
    outcomes.missing.append("second/seed-2")
    brief = make_table(excerpt(outcomes, {"third": "c"}), brief=True)
    assert "- FAILED: first/seed-1: out of memory" in brief
    assert "- Not run yet: second/seed-2" in brief


def test_a_row_that_is_not_there(outcomes: Outcomes) -> None:
    with pytest.raises(CCAFLError, match=r"'thrid' is not available\. Did you mean 'third'\?"):
        excerpt(outcomes, {"thrid": "c"})
