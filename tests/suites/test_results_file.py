"""The file of results: what stands in it, what it saves from being repeated, and that it suffices for the tables."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.suites.figures import draw_figures
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.results_file import ResultsFile
from ccafl_plugin.suites.run_plan import Plan
from ccafl_plugin.suites.runner import Runner
from ccafl_plugin.suites.suite_command import main, write_runs
from ccafl_plugin.suites.suite_table import make_table
from ccafl_plugin.utils.errors import CCAFLError
from tests.suites.small_suites import NO_ICAL, Pretender, planned, write_results, write_suite

TRUNK = {"name": "trunk", "overrides": NO_ICAL}
ROWS = [{"name": "b"}, {"name": "a", "overrides": {"train.lr": 0.5}}]


def run(plan: Plan, file: Path, start: Pretender) -> tuple[dict[str, str], list[str]]:
    lines: list[str] = []
    return Runner(plan, file=ResultsFile(file), start=start, report=lines.append, pause=0).run(), lines


def lines_of(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())["runs"]


def test_a_line_per_run_in_the_order_of_the_names(tmp_path: Path) -> None:
    file, start = tmp_path / "kept" / "runs.json", Pretender()
    _, plan = planned(tmp_path, seeds=[10, 9], rows=ROWS)
    run(plan, file, start)
    assert [(line["row"], line["dataset"], line["seed"]) for line in lines_of(file)] == [
        ("a", "", 9), ("a", "", 10), ("b", "", 9), ("b", "", 10)]  # fmt: skip
    assert len(file.read_text().splitlines()) == 4 + 2
    assert list(tmp_path.glob("kept/*")) == [file]
    before = file.read_bytes()
    shutil.rmtree(tmp_path / "out" / "b" / "seed-9")
    _, plan = planned(tmp_path, seeds=[10, 9], rows=ROWS)
    assert run(plan, file, start) == ({}, ["4 of 4 runs are already finished"])
    assert (len(start.started), file.read_bytes()) == (4, before)

    # The same runs in another order give the same file.
    other = tmp_path / "other.json"
    _, plan = planned(tmp_path, seeds=[9, 10], rows=ROWS[::-1])
    run(plan, other, start)
    assert other.read_bytes() == before


def test_first_and_last_association_and_no_paths(tmp_path: Path) -> None:
    _, plan = planned(tmp_path, rows=ROWS)
    file = ResultsFile(tmp_path / "runs.json")
    plan.runs[0].folder.mkdir(parents=True)
    for steps in ([], [1], [1, 2], [1, 2, 3]):
        association = [{"epoch": step, "precision": step / 4} for step in steps]
        write_results(plan.runs[0].folder, plan.runs[0].digest, 0.5, branched_from="/home/me/checkpoint-1.json",
                      association=association)  # fmt: skip
        file.add(plan.runs[0], json.loads((plan.runs[0].folder / "results.json").read_text()))
        (line,) = lines_of(file.file)
        assert line["association"] == association[:1] + association[1:][-1:]
    assert "/home/me" not in file.file.read_text()


def test_tables_figures_and_runs_come_from_the_file_alone(tmp_path: Path) -> None:
    content = {
        "seeds": [1, 2],
        "rows": ROWS,
        "axes": [{"name": "lambda", "key": "ccafl.terms.icdl.weight_lambda", "values": [0.1, 0.2]}],
        "columns": ["model", "scores", "difference", "association", "camera", "cmc", "model_zoo", "time"],
    }
    suite, plan = planned(tmp_path, **content)
    run(plan, tmp_path / "runs.json", Pretender(lambda row, seed: 0.3 + len(row) / 50 + seed / 100))
    in_folders = Outcomes.of_plan(suite, plan)
    shutil.rmtree(tmp_path / "out")
    in_file = Outcomes.of_plan(suite, plan, ResultsFile(tmp_path / "runs.json"))
    assert len(in_file.found) == 8
    assert make_table(in_file) == make_table(in_folders)
    for name, outcomes in (("folders", in_folders), ("file", in_file)):
        (tmp_path / name).mkdir()
        write_runs(outcomes, tmp_path / name / "runs.csv")
        draw_figures(outcomes, tmp_path / name)
    for name in ("runs.csv", "lambda.svg"):
        assert (tmp_path / "file" / name).read_bytes() == (tmp_path / "folders" / name).read_bytes()


def test_a_row_starts_afresh_where_its_source_is_only_in_the_file(tmp_path: Path) -> None:
    file, start = tmp_path / "runs.json", Pretender()
    run(planned(tmp_path, rows=[TRUNK])[1], file, start)
    shutil.rmtree(tmp_path / "out")
    _, plan = planned(tmp_path, rows=[TRUNK, {"name": "a", "branch": {"from": "trunk", "epoch": 1}}])
    failures, lines = run(plan, file, start)
    assert not failures
    assert [row for row, _, _ in start.started] == ["trunk", "a"]
    assert "from its first epoch: 'trunk' has no checkpoint of epoch 1" in lines[1]


def test_runs_that_were_finished_without_the_file_are_added(tmp_path: Path) -> None:
    start = Pretender()
    _, plan = planned(tmp_path, rows=ROWS)
    Runner(plan, start=start, report=lambda line: None, pause=0).run()
    file = tmp_path / "runs.json"
    assert run(plan, file, start)[1] == ["2 of 2 runs are already finished"]
    assert [line["row"] for line in lines_of(file)] == ["a", "b"]


def test_what_others_write_meanwhile_stays(tmp_path: Path) -> None:
    _, plan = planned(tmp_path, rows=ROWS)
    ours, theirs = ResultsFile(tmp_path / "runs.json"), ResultsFile(tmp_path / "runs.json")
    for file, planned_run in zip((theirs, ours), plan.runs, strict=True):
        planned_run.folder.mkdir(parents=True)
        write_results(planned_run.folder, planned_run.digest, 0.5)
        file.add(planned_run, json.loads((planned_run.folder / "results.json").read_text()))
    assert [line["row"] for line in lines_of(ours.file)] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": [1]}', '{"runs": [{"row": "a"}]}'])
def test_another_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.json").write_text(text)
    with pytest.raises(CCAFLError, match=r"runs\.json' is not a results file"):
        ResultsFile(tmp_path / "runs.json")


def test_a_file_that_cannot_be_written_fails_the_run_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    _, plan = planned(tmp_path, rows=ROWS)
    failures, lines = run(plan, tmp_path / "runs.json", Pretender())
    assert not failures
    file = ResultsFile(tmp_path / "other.json")
    file.file = tmp_path / "in the way" / "runs.json"
    runner = Runner(plan, file=file, start=Pretender(), report=lines.append, pause=0)
    assert list(runner.run()) == ["b, seed 1", "a, seed 1"]
    assert "b, seed 1: finished, but could not write its results to" in lines[-3]


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = write_suite(tmp_path, seeds=[1, 2, 3], rows=ROWS)
    arguments = [str(suite), "--out", str(tmp_path / "out"), "--results", str(tmp_path / "runs.json")]
    start = Pretender(lambda row, seed: seed / 10)
    assert main([*arguments, "--seeds", "3", "1"], start) == 0
    assert {(row, seed) for row, seed, _ in start.started} == {("b", 1), ("a", 1), ("b", 3), ("a", 3)}
    printed = capsys.readouterr().out
    assert "Seeds 1, 3;" in printed
    assert "Not run yet" not in printed
    shutil.rmtree(tmp_path / "out")
    assert main([*arguments, "--table"], start) == 0
    printed = capsys.readouterr().out
    assert "2 of 3" in printed
    assert "- Not run yet: all rows with seed 2\n" in printed
    with open(tmp_path / "out" / "runs.csv", encoding="utf-8") as stream:
        assert [(line["row"], line["seed"]) for line in csv.DictReader(stream)] == [
            ("b", "1"), ("a", "1"), ("b", "3"), ("a", "3")]  # fmt: skip
    assert main([*arguments, "--seeds", "4"], start) == 2
    assert capsys.readouterr().err == "error: --seeds: suite has no seed 4; it has 1, 2, 3.\n"
    (tmp_path / "runs.json").write_text("?")
    assert main(arguments, start) == 2
    assert "is not a results file" in capsys.readouterr().err
    assert len(start.started) == 4


def test_the_missing_are_named_shortly(tmp_path: Path) -> None:
    suite, plan = planned(tmp_path, seeds=[1, 2, 3], rows=ROWS)
    assert Outcomes.of_plan(suite, plan).missing == ["all rows with seeds 1, 2, 3"]
    half = plan.runs[0]
    half.folder.mkdir(parents=True)
    write_results(half.folder, half.digest, 0.5)
    (half.folder / "run.json").write_text(json.dumps({"digest": half.digest}))
    assert Outcomes.of_plan(suite, plan).missing == ["a, seed 1", "all rows with seeds 2, 3"]
