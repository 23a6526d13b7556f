"""How far a command is: a bar on a terminal, few lines elsewhere."""

from __future__ import annotations

import io

import pytest

from ccafl_plugin.utils.progress import EVERY, Progress


def test_plain_lines_are_ten_seconds_apart() -> None:
    written, seconds = io.StringIO(), [0.0]
    with Progress(100, "images", done=10, stream=written, clock=lambda: seconds[0]) as progress:
        for _ in range(60):
            seconds[0] += 0.5
            progress.add(1)
    lines = written.getvalue().splitlines()
    assert EVERY == 10
    assert lines == [f"{10 + n} of 100 images, 2.0 a second" for n in (20, 40, 60, 60)]


def test_a_stopped_command_says_nothing_more() -> None:
    written = io.StringIO()
    with pytest.raises(KeyError), Progress(3, "images", stream=written):
        raise KeyError
    assert written.getvalue() == ""


def test_a_bar_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    written = Terminal()
    with Progress(4, "images", done=1, stream=written) as progress:
        progress.add(3)
    assert "4/4" in written.getvalue() and "\r" in written.getvalue() and "100%" in written.getvalue()


def test_a_terminal_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    written = io.StringIO()
    written.isatty = lambda: True  # type: ignore[method-assign]
    with Progress(1, "images", stream=written, clock=lambda: 0.0) as progress:
        progress.add(1)
    assert written.getvalue() == "1 of 1 images\n"
