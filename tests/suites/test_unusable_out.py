"""A suite whose folder cannot be written stops in one line; one failed run does not stop the others."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.suites import runner as runner_module
from ccafl_plugin.suites.run_folder import note
from ccafl_plugin.suites.suite_command import main
from tests.suites.small_suites import NO_ICAL, Pretender, write_suite

ROWS = [{"name": "a"}, {"name": "b", "overrides": NO_ICAL}, {"name": "c", "overrides": {"train.lr": 0.5}}]


def test_a_failed_run_does_not_stop_the_others_and_the_table_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_suite(tmp_path, rows=ROWS)
    start = Pretender(fails=["a"])
    assert main([str(file), "--out", str(tmp_path / "out")], start=start) == 1
    printed = capsys.readouterr()
    assert [row for row, _, _ in start.started] == ["a", "b", "c"]
    assert "FAILED a, seed 1: error: no luck" in printed.err
    assert all(f"| {row} " in printed.out for row in "bc")


@pytest.mark.parametrize("kind", ["a file", "below a file", "a zero byte"])
def test_an_unusable_out_is_one_line(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_suite(tmp_path, rows=ROWS)
    (tmp_path / "taken").write_text("")
    out = {"a file": "taken", "below a file": "taken/out", "a zero byte": "a\0b"}[kind]
    start = Pretender()
    assert main([str(file), "--out", str(tmp_path / out)], start=start) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and not start.started
    assert printed.err.startswith("error: --out: ") and printed.err.count("\n") == 1
    assert printed.err.endswith("Name another folder.\n")


@pytest.mark.parametrize("full_from", [0, 1, 3])  # before the first run, when it has failed, in the next one
def test_a_disk_that_is_full_stops_the_suite_in_one_line(
    full_from: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def noted(run: Any, **facts: object) -> None:
        calls.append(run)
        if len(calls) > full_from:
            raise OSError(errno.ENOSPC, "No space left on device", str(run.folder / "run.json"))
        note(run, **facts)

    monkeypatch.setattr(runner_module, "note", noted)
    file = write_suite(tmp_path, rows=ROWS)
    start = Pretender(fails=["a", "b", "c"])
    assert main([str(file), "--out", str(tmp_path / "out")], start=start) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(start.started) == (full_from + 1) // 2
    assert (
        err[-1].startswith("error: --out: '")
        and "can't be written: no space left on device. Free some space" in err[-1]
    )
    assert sum(line.startswith("error") for line in err) == 1
