"""``tools/suite.py`` from its command line."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.suites.processes import lock_folder
from ccafl_plugin.suites.suite_command import main, shipped_suites
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import write_pictures
from tests.suites.small_suites import Forked, Pretender, write_suite


def test_runs_then_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_suite(tmp_path, rows=[{"name": "a"}], quick={"seeds": [5, 6]})
    start = Pretender()
    arguments = [str(file), "--out", str(tmp_path / "out"), "--quick", "--set", "train.lr", "0.5"]
    assert main(arguments, start) == 0
    printed = capsys.readouterr()
    assert re.search(r"\| a +\| +50\.0 ± 0\.0 \| +60\.0 ± 0\.0 \|", printed.out)
    assert "[2/2] done   a, seed 6" in printed.err
    assert printed.err.splitlines()[-1] == f"Written to {tmp_path / 'out'}: a/, runs.csv"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "runs.csv"}
    assert "lr: 0.5" in (tmp_path / "out" / "a" / "seed-5" / "settings.yaml").read_text()
    assert main([*arguments, "--table", "--format", "csv"], start) == 0
    assert capsys.readouterr().out.splitlines()[1] == "a,50.0 ± 0.0,60.0 ± 0.0"
    assert len(start.started) == 2


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_suite(tmp_path, rows=[{"name": "a"}])
    out = ["--out", str(tmp_path / "out")]
    assert main([str(file), *out], Pretender(fails=["a"])) == 1
    assert "- FAILED: a, seed 1: error: no luck" in capsys.readouterr().out
    for arguments, fragment in (
        ([str(tmp_path / "b.yaml")], "error: SUITE: could not read"),
        ([str(file), "--quick"], "it has no section 'quick'"),
        ([str(file), "--jobs", "0"], "error: --jobs: 0"),
        ([str(file), "--format", "html"], "error: --format: 'html' is not available"),
        ([str(file), "--columns", "map"], "error: --columns: 'map' is not available"),
        ([str(file), "--set", "train.lrr", "1"], "Did you mean 'train.lr'?"),
    ):
        start = Pretender()
        assert main([*arguments, *out], start) == 2
        printed = capsys.readouterr()
        assert (printed.out, start.started) == ("", [])
        assert fragment in printed.err
        assert printed.err.count("\n") == 1
    assert "synthetic_ablation.yaml" in shipped_suites()
    assert "published.yaml" not in shipped_suites()


def test_ctrl_c_ends_the_runs_and_the_next_call_goes_on(tmp_path: Path) -> None:
    """The tool is forked, the run below it a real process."""
    root = write_pictures(tmp_path / "data")
    file = write_suite(tmp_path, rows=[{"name": "a", "overrides": {"train.max_epoch": 1000}}])
    arguments = [str(file), "--root", str(root), "--out", str(tmp_path / "out")]
    tool = Forked(lambda: main(arguments), tmp_path / "printed")
    folder = tmp_path / "out" / "a" / "seed-1"
    end = time.monotonic() + 120
    while not (folder / "checkpoint-1.json").exists() and tool.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    with pytest.raises(CCAFLError, match="another process is using"):
        lock_folder(folder)
    os.kill(tool.pid, signal.SIGINT)
    tool.wait()
    printed = (tmp_path / "printed").read_text()
    assert tool.code == 130, printed
    assert "interrupted; run the same command to continue" in printed
    assert "Not run yet: a, seed 1" in printed
    os.close(lock_folder(folder))  # the run has ended
    start = Pretender()
    assert main(arguments, start) == 0
    assert start.started[0][2]["model.resume"] == str(folder)


def test_being_terminated_is_like_ctrl_c(tmp_path: Path) -> None:
    file = write_suite(tmp_path, rows=[{"name": "a"}])
    arguments = [str(file), "--out", str(tmp_path / "out")]
    tool = Forked(lambda: main(arguments, Pretender(looks=10**9)), tmp_path / "printed")
    while not (tmp_path / "out" / "a" / "seed-1" / "settings.yaml").exists() and tool.poll() is None:
        time.sleep(0.02)
    os.kill(tool.pid, signal.SIGTERM)
    tool.wait()
    assert tool.code == 130, (tmp_path / "printed").read_text()


@pytest.mark.parametrize("suite", sorted((configs_folder() / "suites").glob("synthetic_*.yaml")), ids=lambda f: f.stem)
@pytest.mark.parametrize("quick", [[], ["--quick"]])
def test_shipped_suites_can_be_planned(suite: Path, quick: list[str], tmp_path: Path) -> None:
    assert main([suite.name, *quick, "--table", "--out", str(tmp_path)]) == 0
