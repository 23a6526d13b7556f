"""torchreid's report on datasets, without repetitions."""

from __future__ import annotations

import io
import sys

import pytest

from ccafl_plugin.runs.data_report import nothing_twice

RULE = "  ----------"
TABLE = "\n".join(["=> Loaded {}", RULE, "  subset   | # ids", RULE, "  train    | {}", RULE, ""])
SUMMARY = "\n\n  **************** Summary ****************\n  source : 1\n  ******************\n\n\n"


def printed(text: str, sources: int, monkeypatch: pytest.MonkeyPatch) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with nothing_twice(sources):
        for letter in text:  # as torn apart as it can be
            sys.stdout.write(letter)
    assert sys.stdout is stream
    return stream.getvalue()


def test_a_table_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"train\n{TABLE.format('A', 1)}test\n{TABLE.format('A', 1)}{TABLE.format('B', 1)}{TABLE.format('A', 2)}end\n"
    expected = (
        f"train\n{TABLE.format('A', 1)}test\n=> Loaded A, as above\n{TABLE.format('B', 1)}{TABLE.format('A', 2)}end\n"
    )
    assert printed(text, 1, monkeypatch) == expected


def test_a_summary_of_several_sources_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(f"before\n{SUMMARY}after\n", 2, monkeypatch) == f"before\n{SUMMARY}after\n"
    assert printed(f"before\n{SUMMARY}", 1, monkeypatch) == "before\n"
    assert printed("one\n\n\ntwo\n", 1, monkeypatch) == "one\n\n\ntwo\n"


def test_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a block, and a line that doesn't end."""
    for text in ("=> Loaded A\n  ----\n", "=> Loa", "\r10 %\r20 %", "  ***", "a\nb"):
        assert printed(text, 1, monkeypatch) == text


def test_an_error_gives_the_console_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(ValueError, match="x"), nothing_twice(1):
        print("=> Loaded A")
        raise ValueError("x")
    assert sys.stdout is stream
    assert stream.getvalue() == "=> Loaded A\n"
