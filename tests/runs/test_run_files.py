"""A run's output when nobody reads it any more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import ccafl_train
from ccafl_plugin.config import load_config
from ccafl_plugin.runs.run_files import log_to_file
from tests.children import in_child


def test_a_closed_pipe_ends_neither_the_run_nor_its_log(tmp_path: Path) -> None:
    """As behind ``| head``; in a child, whose standard output is a pipe that nobody reads."""
    config = load_config(None, ["data.save_dir", str(tmp_path)])

    def run() -> None:
        reader, writer = os.pipe()
        os.close(reader)
        sys.stdout = os.fdopen(writer, "w")
        errors = sys.stderr = open(tmp_path / "errors", "w", encoding="utf-8")  # noqa: SIM115
        with log_to_file(config):
            for number in range(3000):
                print(f"line {number}")
                sys.stdout.flush()
        sys.stdout.flush()  # as Python does at its end
        errors.flush()

    in_child(run)
    (log,) = tmp_path.glob("train.log-*")
    assert log.read_text(encoding="utf-8").splitlines() == [f"line {number}" for number in range(3000)]
    assert (tmp_path / "errors").read_text(encoding="utf-8") == (
        f"note: nobody reads the output any more; it goes on in {log}\n"
    )


@pytest.mark.parametrize("ends", ["returns", "exits", "prints at once"])
def test_a_closed_pipe_is_no_traceback(tmp_path: Path, ends: str) -> None:
    """Of what is printed outside a run: usage, help, versions."""

    def command() -> int:
        print("usage" * 5)
        if ends == "prints at once":
            sys.stdout.flush()
        if ends == "exits":
            raise SystemExit(0)
        return 0

    def run() -> None:
        reader, writer = os.pipe()
        os.close(reader)
        sys.stdout = os.fdopen(writer, "w")
        assert ccafl_train._into_a_pipe(command) == 1
        sys.stdout.flush()

    in_child(run)


def test_an_open_one_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ccafl_train._into_a_pipe(lambda: print("x") or 7) == 7
    assert capsys.readouterr().out == "x\n"
