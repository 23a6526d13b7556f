"""The command from end to end with a small row, and its table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import measure, run, table
from benchmarks.report import Report
from benchmarks.run import largest_difference, main


@pytest.fixture(autouse=True)
def no_second_import(monkeypatch):
    """Reports are not measured here, so nothing needs to import for them."""
    monkeypatch.setattr(run.children, "start_importing", lambda environment: None)


def test_one_row(tmp_path, capsys):
    file = tmp_path / "results" / "today.json"
    chosen = ["--quick", "--only", "nearest_pairs", "--ours-only"]
    assert main([*chosen, "--threads", "1", "--save", str(file)]) == 0
    printed = capsys.readouterr().out
    for word in ("threads 1", "OMP_WAIT_POLICY", "load before", "torch 2", "nearest_pairs", "not compared"):
        assert word in printed
    (row,) = json.loads(file.read_text())["rows"]
    assert row["ours"]["seconds"] > 0
    assert row["ours"]["runs"] >= 1
    assert row["ours"]["size"] == {"proxies_": 200, "dim": 32}
    assert main(["--show", str(file)]) == 0
    assert capsys.readouterr().out == printed


def test_rows_are_chosen_by_name(capsys):
    assert main(["--only", "nearest"]) == 2
    assert "'nearest' is not a row. Choose from: evaluate_rank, " in capsys.readouterr().err


def measured(seconds, megabytes=5):
    return {"seconds": seconds, "runs": 1, "peak_mb": megabytes, "size": {}}


def test_the_table_of_a_size_at_which_the_usual_way_is_impossible():
    row = {
        "name": "a",
        "title": "work",
        "usual_title": "plain",
        "ours": measured(10.0, 700),
        "bound": measured(8.0),
        "usual": measured(6.0, 900),
        "ours_compared": measured(0.05),
        "compared_at": {"queries": 3},
        "usual_bytes": 35 * 2**30,
        "equality": "equal",
        "passed": True,
    }
    text = table.make_table({"head": {"machine": "m"}, "rows": [row], "reports": []})
    cells = [cell.strip() for cell in text.splitlines()[6].strip("|").split("|")]
    assert cells == ["work", "plain", "6.00 *", "10.00", "120.0 *", "8.00", "1.25", "900 *", "700", "equal *"]
    assert "work: the usual way would need 35 GB. The two are compared at queries 3, where this" in text
    alone = {key: row[key] for key in ("name", "title", "usual_title", "ours", "equality")}
    line = table.make_table({"head": {}, "rows": [alone], "reports": []}).splitlines()[6]
    assert [cell.strip() for cell in line.strip("|").split("|")][2:] == ["-", "10.00", *"----", "700", "equal"]


def test_the_columns_of_a_gpu_and_the_reports():
    def row(name, usual, ours, **more):
        parts = {"ours": measured(ours), "usual": measured(usual), "equality": "equal", "passed": True}
        return {"name": name, "title": f"work {name}", "usual_title": "plain", **parts, **more}

    def report(title, value):
        return {"title": title, "explained": "Why.", "figures": [{"part": "steps", "seconds": value}]}

    compared = {"ours_compared": measured(0.5), "compared_at": {"n": 1}, "usual_bytes": 1}
    here = {"head": {"GPU": "none"}, "rows": [row("a", 8.0, 2.0), row("b", 1.0, 1.0)], "reports": [report("R", 3.0)]}
    there = {"head": {"GPU": "H"}, "rows": [row("a", 3.0, 2.0, **compared)], "reports": [report("S", 0.01)]}
    text = table.make_table(here, there)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    (first,) = (cells for cells in lines if cells[0] == "work a")
    (second,) = (cells for cells in lines if cells[0] == "work b")
    assert first[4:5] + first[-3:] == ["4.0", "3.00 *", "2.00", "6.0 *"]
    assert second[-3:] == ["-", "-", "-"]
    assert ["steps", "3.00"] in lines
    assert ["steps", "0.0100"] in lines
    assert text.index("**R.** Why.") < text.index("**S.** Why.")
    assert "GPU columns: GPU H" in text
    assert "\\* GPU, work a: the usual way would need" in text
    assert "GPU columns" not in table.make_table(here)
    only_reports = table.make_table({**here, "rows": []})
    assert "work" not in only_reports
    assert "**R.**" in only_reports


@pytest.mark.parametrize(("usual", "code", "shown"), [(1.0, 1, "DIFFER by 1.0e+00"), (0.0, 0, " equal ")])
def test_a_difference_above_the_tolerance_fails(usual, code, shown, monkeypatch, capsys):
    results = {"ours": 0.0, "usual": usual}
    monkeypatch.setattr(run, "measure", lambda row, way, *_: (measured(1.0), {"x": np.array(results[way])}))
    assert main(["--quick", "--only", "nearest_pairs"]) == code
    assert shown in capsys.readouterr().out


def test_what_is_measured_where_the_usual_way_is_impossible(monkeypatch, capsys):
    asked = []

    def measured_now(row, way, size, options):
        asked.append((way, size))
        return measured(1.0), {"x": np.array(0.0)}

    monkeypatch.setattr(run, "measure", measured_now)
    assert main(["--only", "evaluate_features"]) == 0
    assert asked == [("ours", "full"), ("bound", "full"), ("ours", "usual"), ("usual", "usual")]
    assert "would need 15 GB. The two are compared at queries 1500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"a": [1.0, 2]}, {"a": [1.0, 2]}, 0),
        ({"a": [0.0, 0.5]}, {"a": [0.25, 0.5]}, 0.25),
        ({"a": [0.0, 50]}, {"a": [0.5, 50]}, 0.01),
        ({"a": [1, 2]}, {"a": [1, 3]}, 0.5),
        ({"a": [1.0]}, {"a": [1.0, 2]}, np.inf),
        ({"a": [1.0]}, {"b": [1.0]}, np.inf),
    ],
)
def test_largest_difference(first, second, expected):
    arrays = [{name: np.array(value) for name, value in given.items()} for given in (first, second)]
    assert largest_difference(*arrays) == expected


def test_lines_are_saved_as_they_come(tmp_path, monkeypatch):
    def lines(number, device):
        for line in range(number):
            yield {"line": line, "device": device}
            saved.append(json.loads((tmp_path / "measured.json").read_text()))

    saved = []
    report = Report("r", "R", "Why.", {"full": {"number": 9}}, lines)
    monkeypatch.setitem(measure.REPORTS, "r", report)
    measure.main(["r", "report", "full", "cpu", str(tmp_path), '{"number": 2}'])
    assert saved == [[{"line": line, "device": "cpu"} for line in range(count)] for count in (1, 2)]
