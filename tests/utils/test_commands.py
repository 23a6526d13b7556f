"""One line and an exit code for what a user can mend."""

from __future__ import annotations

import argparse

import pytest

from ccafl_plugin.utils.commands import exit_code
from ccafl_plugin.utils.errors import CCAFLError


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run(given: argparse.Namespace) -> None:
        raise CCAFLError(f"{given.name}:\n  not there.")

    assert exit_code(run, argparse.Namespace(name="file")) == 2
    assert capsys.readouterr() == ("", "error: file: not there.\n")


def test_nothing_wrong_is_nothing_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda given: None, argparse.Namespace()) == 0
    assert capsys.readouterr() == ("", "")


def test_other_faults_pass() -> None:
    def run(given: argparse.Namespace) -> None:
        raise KeyError(given)

    with pytest.raises(KeyError):
        exit_code(run, argparse.Namespace())
