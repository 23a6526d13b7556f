"""The runner: what is started when and with what, what is not repeated, and what becomes of failures."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import yaml

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.runs import results
from ccafl_plugin.suites.processes import lock_folder
from ccafl_plugin.suites.results_file import KEPT, ResultsFile
from ccafl_plugin.suites.run_folder import failure_of, is_finished
from ccafl_plugin.suites.run_plan import Plan
from ccafl_plugin.suites.runner import Runner, last_line
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import write_pictures
from tests.suites.small_suites import NO_ICAL, Pretender, forked, planned

TRUNK = {"name": "trunk", "overrides": NO_ICAL}
BRANCH = {"branch": {"from": "trunk", "epoch": 1}}


def run(plan: Plan, start: Pretender, jobs: int = 1) -> tuple[dict[str, str], list[str]]:
    lines: list[str] = []
    failures = Runner(plan, jobs=jobs, start=start, report=lines.append, pause=0).run()
    return failures, lines


def test_finished_runs_are_not_repeated(tmp_path: Path) -> None:
    start = Pretender()
    _, plan = planned(tmp_path, seeds=[1, 2], rows=[{"name": "a"}, {"name": "b", "overrides": NO_ICAL}])
    failures, lines = run(plan, start)
    assert not failures
    assert [(row, seed) for row, seed, _ in start.started] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert lines[-1].startswith("[4/4] done   b, seed 2: mAP 50.0%, rank1 60.0% in 0:")
    assert lines[1].endswith(" left")
    assert run(plan, start) == ({}, ["4 of 4 runs are already finished"])
    assert len(start.started) == 4
    (plan.runs[2].folder / results.FILE).unlink()
    run(plan, start)
    assert [(row, seed) for row, seed, _ in start.started[4:]] == [("a", 2)]


def test_other_settings_move_the_old_folder_aside(tmp_path: Path) -> None:
    start = Pretender()
    _, plan = planned(tmp_path, rows=[{"name": "a"}])
    run(plan, start)
    for number, rate in ((1, 0.1), (2, 0.2)):
        _, other = planned(tmp_path, rows=[{"name": "a", "overrides": {"train.lr": rate}}])
        assert not is_finished(other.runs[0])
        _, lines = run(other, start)
        assert lines[0].endswith(f"the old folder is now {tmp_path / 'out' / 'a' / f'seed-1.old-{number}'}")
        assert is_finished(other.runs[0])
    assert len(start.started) == 3


def test_branches_wait_for_the_checkpoint_and_no_longer(tmp_path: Path) -> None:
    start = Pretender(looks=3)
    _, plan = planned(
        tmp_path, trunks=[TRUNK], rows=[{"name": "a", **BRANCH}, {"name": "b", "overrides": {"train.lr": 0.5}}]
    )
    run(plan, start, jobs=2)
    assert [row for row, _, _ in start.started] == ["trunk", "b", "a"]
    given = {row: pairs for row, _, pairs in start.started}
    assert given["trunk"]["ccafl.keep_epochs"] == [1]
    assert given["a"]["ccafl.branch_from"] == str(tmp_path / "out" / "trunk" / "seed-1" / "checkpoint-1.json")
    assert "ccafl.branch_from" not in given["b"]

    early = Pretender(looks=3)
    (plan.runs[1].folder / results.FILE).unlink()
    (plan.runs[0].folder / results.FILE).unlink()  # the trunk goes on, its checkpoint is there already
    run(plan, early, jobs=2)
    assert [row for row, _, _ in early.started] == ["trunk", "a"]
    assert early.most_alive == 2


def test_a_source_without_the_checkpoint_is_no_obstacle(tmp_path: Path) -> None:
    start = Pretender()
    _, plan = planned(tmp_path, rows=[TRUNK])
    run(plan, start)
    _, plan = planned(tmp_path, rows=[TRUNK, {"name": "a", **BRANCH}])
    _, lines = run(plan, start)
    assert "from its first epoch: 'trunk' has no checkpoint of epoch 1" in lines[1]
    assert "ccafl.branch_from" not in start.started[-1][2]


def test_a_checkpoint_of_other_settings_is_nobodys_source(tmp_path: Path) -> None:
    """The source counts as finished, by its line among the results, but its folder holds another run."""
    start = Pretender()
    file = ResultsFile(tmp_path / "results.json")
    rows = [TRUNK, {"name": "a", **BRANCH}]
    _, plan = planned(tmp_path, rows=[TRUNK])
    Runner(plan, file=file, start=start, report=lambda line: None, pause=0).run()
    _, other = planned(tmp_path, rows=[{**TRUNK, "overrides": {**NO_ICAL, "train.lr": 0.5}}])
    run(other, start)
    (other.runs[0].folder / "checkpoint-1.json").write_text('{"epoch": 1, "parts": {}}')
    _, plan = planned(tmp_path, rows=rows)
    lines: list[str] = []
    Runner(plan, file=file, start=start, report=lines.append, pause=0).run()
    assert "from its first epoch: 'trunk' has no checkpoint of epoch 1" in lines[1]
    assert "ccafl.branch_from" not in start.started[-1][2]


def test_failures_do_not_stop_the_others(tmp_path: Path) -> None:
    start = Pretender(fails=["trunk", "b"])
    _, plan = planned(
        tmp_path,
        trunks=[TRUNK],
        rows=[{"name": "a", **BRANCH}, {"name": "b", "overrides": {"train.lr": 0.5}}, {"name": "c"}],
    )
    failures, lines = run(plan, start)
    assert failures == {
        "trunk, seed 1": "error: no luck",
        "a, seed 1": "not run, because it continues from 'trunk, seed 1', which failed",
        "b, seed 1": "error: no luck",
    }
    assert any(line.startswith("[1/3] FAILED trunk, seed 1: error: no luck") for line in lines)
    assert failure_of(plan.runs[2]) == "error: no luck"
    start.fails = []
    assert run(plan, start)[0] == {}
    assert failure_of(plan.runs[2]) == ""


def test_side_by_side(tmp_path: Path) -> None:
    for jobs in (1, 2, 3):
        start = Pretender(looks=2)
        folder = tmp_path / str(jobs)
        folder.mkdir()
        _, plan = planned(folder, seeds=[1, 2, 3, 4, 5], rows=[{"name": "a"}])
        run(plan, start, jobs=jobs)
        assert start.most_alive == jobs
        assert start.threads == {max(1, (os.cpu_count() or 1) // jobs)}
    with pytest.raises(CCAFLError, match="--jobs: 0"):
        Runner(plan, jobs=0)


def test_the_next_trunk_starts_before_the_last_branch(tmp_path: Path) -> None:
    """Runs of equal length: with three rows that branch, a trunk at the end would keep one of two jobs waiting."""
    start = Pretender(looks=3)
    rates = {name: {"name": name, **BRANCH, "overrides": {"ccafl.terms.ical.margin": margin}}
             for name, margin in (("a", 0.3), ("b", 0.5), ("c", 0.7))}  # fmt: skip
    _, plan = planned(tmp_path, seeds=[1, 2, 3], trunks=[TRUNK], rows=list(rates.values()))
    run(plan, start, jobs=2)
    assert [f"{row} {seed}" for row, seed, _ in start.started] == [
        *("trunk 1", "trunk 2"), *("a 1", "b 1"), *("c 1", "a 2"), *("b 2", "trunk 3"), *("c 2", "a 3"), *("b 3", "c 3")
    ]  # fmt: skip


def test_an_interruption_ends_all_processes(tmp_path: Path) -> None:
    start = Pretender(looks=10**9)
    _, plan = planned(tmp_path, seeds=[1, 2, 3], rows=[{"name": "a"}])
    runner = Runner(plan, jobs=2, start=start, report=lambda line: None, pause=0)
    processes = []

    def interrupt() -> None:
        processes.extend(process for _, process, _ in runner._running.values())
        raise KeyboardInterrupt

    runner._report_now_and_then = interrupt
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    assert [process.code for process in processes] == [-15, -15]


def test_a_folder_somebody_works_in_is_left_alone(tmp_path: Path) -> None:
    descriptor = lock_folder(tmp_path)
    with pytest.raises(CCAFLError, match="another process is using"):
        lock_folder(tmp_path)
    os.close(descriptor)
    os.close(lock_folder(tmp_path))


def test_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log, 3) == "exit status 3"
    log.write_text("epoch 1\nValueError: bad\n \n")
    assert last_line(log, 1) == "ValueError: bad"
    assert last_line(log, -9) == "ended by signal 9"


def test_real_runs_branch_fail_and_resume(tmp_path: Path) -> None:
    """Forked training: a trunk, a branch, a row that fails; then the branch is broken off and goes on."""
    root = write_pictures(tmp_path / "data")
    content = {
        "trunks": [TRUNK],
        "rows": [
            {"name": "all", **BRANCH},
            {"name": "fails", "overrides": {"train.batch_size": 64, "ccafl.terms.icdl.instances": 64}},
            {"name": "alone", "overrides": {"ccafl.keep": 2}},
        ],
    }
    _, plan = planned(tmp_path, root, **content)
    trunk, whole, _ = plan.runs
    assert plan.run_of["alone", "", 1] is whole
    lines: list[str] = []
    failures = Runner(plan, start=forked, report=lines.append, pause=0.02).run()
    assert list(failures) == ["fails, seed 1"]
    assert failures["fails, seed 1"].startswith("error: ")
    assert 'Branched from "' in (whole.folder / "console.log").read_text()
    written = results.read(whole.folder)
    assert written["config_digest"] == whole.digest
    only_here = {"seed", "git_commit", "process_seconds", "branched_from", "settings_history", "skipped_steps"}
    assert set(written) == {*KEPT, *only_here}
    assert [entry["epoch"] for entry in written["association"]] == [1, 2]
    assert written["settings"] == results.settings_of(whole.config)

    # As if it had been killed in its last epoch: results and last checkpoint are gone.
    (whole.folder / results.FILE).unlink()
    newest = checkpoints.manifests(whole.folder)[-1]
    assert newest.name == "checkpoint-3.json"
    second = json.loads((trunk.folder / "checkpoint-1.json").read_text())
    newest.unlink()
    for file in second["parts"].values():  # parts lie in the run's own folder, nowhere else
        shutil.copyfile(trunk.folder / file, whole.folder / file)
    (whole.folder / "checkpoint-1.json").write_text(json.dumps(second))
    _, plan = planned(tmp_path, root, **content)
    Runner(plan, start=forked, report=lines.append, pause=0.02).run()
    assert "start  all, seed 1, continuing after epoch 1" in lines[-4]
    again = results.read(whole.folder)
    assert again["scores"] == written["scores"]
    assert again["association"] == written["association"]

    # A run's own configuration gives that run again, without the suite.
    config = yaml.safe_load((whole.folder / "settings.yaml").read_text())
    assert config["data"]["root"] == str(root)
    process = forked(
        ["--config-file", str(whole.folder / "settings.yaml"), "data.save_dir", str(tmp_path / "by hand")],
        tmp_path / "log",
        1,
    )
    while process.poll() is None:
        time.sleep(0.02)
    assert results.read(tmp_path / "by hand")["scores"] == written["scores"]
