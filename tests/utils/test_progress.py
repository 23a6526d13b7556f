"""How far work is: a bar on a terminal, few lines elsewhere, nothing for short work."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from pathlib import Path

import pytest

from ccafl_plugin.utils import progress as module
from ccafl_plugin.utils.progress import EVERY, QUIET, Progress, is_for_bars, time_left, watched
from ccafl_plugin.utils.terminal_bar import number
from tests.children import in_child
from tests.terminals import Terminal, on_pseudo_terminal


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests show no progress, see ``tests/conftest.py``."""
    monkeypatch.delenv("TQDM_DISABLE")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output and standard error, both on one terminal; not in a fixture, behind which pytest sets its own."""
    made = Terminal()
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setattr(module, "is_for_bars", lambda stream: stream.isatty())  # whatever pytest's own output is
    return made


def test_plain_lines_are_ten_seconds_apart() -> None:
    written, clock = io.StringIO(), Clock()
    with Progress(100, "images", "Reading", done=10, stream=written, clock=clock) as progress:
        for _ in range(90):
            clock.seconds += 0.5
            progress.add(1)
    assert EVERY == 10
    assert written.getvalue().splitlines() == [
        "Reading: 30 of 100 images, 2.0 a second, 0:35 left",
        "Reading: 50 of 100 images, 2.0 a second, 0:25 left",
        "Reading: 70 of 100 images, 2.0 a second, 0:15 left",
        "Reading: 90 of 100 images, 2.0 a second, 0:05 left",
        "Reading: 100 of 100 images, 2.0 a second",
    ]


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    clock, written = Clock(), io.StringIO()
    with Progress(4, "images", clock=clock) as progress:
        for _ in range(4):
            clock.seconds += 0.9 * QUIET / 4
            progress.add(1)
    assert terminal.getvalue() == ""
    with Progress(4, "images", stream=written, clock=clock) as progress:
        for _ in range(4):
            clock.seconds += 0.9 * EVERY / 4
            progress.add(1)
    assert written.getvalue() == ""


def test_work_of_one_piece_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    clock = Clock()
    with Progress(1, "images", clock=clock) as progress:
        clock.seconds += 100
        progress.add(1)
    assert terminal.getvalue() == ""


def test_a_stopped_command_says_nothing_more() -> None:
    written, clock = io.StringIO(), Clock()
    with pytest.raises(KeyError), Progress(3, "images", stream=written, clock=clock) as progress:
        clock.seconds = 11
        progress.add(1)
        raise KeyError
    assert written.getvalue() == "1 of 3 images, 0:22 left\n"


def test_a_bar_with_the_time_left_that_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with Progress(8, "images", "Reading", clock=(clock := Clock())) as progress:
        clock.seconds = 2
        progress.add(2)
        assert re.fullmatch(r"Reading:  25%\|.*\| 2/8 images \[00:02<00:06,  1\.00/s\]", terminal.on_screen()[-1])
        time.sleep(0.11)
        progress.add(4)
        assert terminal.on_screen()[-1].startswith("Reading:  75%")
    assert terminal.on_screen() == [""]
    assert sys.stdout is terminal and sys.stderr is terminal


def test_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with Progress(100, "images", clock=(clock := Clock())) as progress:
        clock.seconds = 2
        progress.add(1)
        print("epoch: [1/2]\tloss", 0.5)
        time.sleep(0.11)
        progress.add(1)
        assert terminal.on_screen()[-1].startswith("  2%")
        print("begun ...", end="")
        time.sleep(0.11)
        progress.add(1)  # draws nothing behind the words
        print(" and finished")
        print("warning: something", file=sys.stderr)
        time.sleep(0.11)
        progress.add(1)
        assert terminal.on_screen()[-1].startswith("  4%")
    shown = terminal.on_screen()
    assert shown == ["epoch: [1/2]\tloss 0.5", "begun ... and finished", "warning: something", ""]


def test_a_bar_does_not_wipe_out_a_line_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with Progress(100, "images", clock=(clock := Clock())) as progress:
        clock.seconds = 2
        progress.add(1)
        print("begun ...", end="")
    print(" and finished")
    assert terminal.on_screen() == ["begun ... and finished", ""]


def test_an_output_that_was_replaced_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    other = io.StringIO()
    with Progress(3, "images", clock=(clock := Clock())) as progress:
        clock.seconds = 2
        progress.add(1)
        sys.stdout = other
    assert sys.stdout is other and sys.stderr is terminal


def test_work_inside_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    clock = Clock()
    with Progress(3, "outer", clock=clock), Progress(3, "inner", clock=clock) as inner:
        clock.seconds = 100
        inner.add(1)
    assert terminal.getvalue() == ""
    with Progress(3, "later", clock=clock) as later:
        clock.seconds += 2
        later.add(1)
        assert " later [" in terminal.getvalue()


def test_a_closed_terminal_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    for terminal in (True, False):
        monkeypatch.setattr(module, "is_for_bars", lambda _, there=terminal: there)
        with Progress(3, "images", stream=Gone(), clock=(clock := Clock())) as progress:
            clock.seconds = 11
            progress.add(1)
        assert progress.done == 1


def test_the_environment_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with Progress(3, "images", clock=(clock := Clock())) as progress:
        clock.seconds = 100
        progress.add(1)
    assert terminal.getvalue() == ""


def test_the_items_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(module, "QUIET", 0.0)
    seen = []
    for item in watched(["ab", "c", "def"], 6, "letters", "Spelling", size=len):
        if item == "def":
            assert re.match(r"Spelling:  50%\|.*\| 3/6", terminal.on_screen()[-1])
        time.sleep(0.11)
        seen.append(item)
    assert seen == ["ab", "c", "def"] and terminal.on_screen() == [""]


def test_a_loop_that_is_left_takes_its_bar_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(module, "QUIET", 0.0)

    def work() -> None:
        for item in watched(range(10), 10, "items"):
            if item == 5:
                raise KeyError(item)

    with pytest.raises(KeyError):
        work()
    assert terminal.on_screen() == [""] and sys.stdout is terminal
    assert Progress._outermost is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7.25, "7.2"), (123.4, "123"), (999_999, "999999"), (1_000_000, "1M"), (1.25e9, "1.25G")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_time_left() -> None:
    assert [time_left(seconds) for seconds in (0.4, 65, 7200)] == ["0:00", "1:05", "2:00:00"]


def test_output_through_a_pipe_gets_no_bar_between_its_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with open(reader), open(writer, "w") as pipe, open(tmp_path / "log", "w") as file:
        monkeypatch.setattr(sys, "__stdout__", file)
        assert is_for_bars(Terminal()) and not is_for_bars(io.StringIO())
        monkeypatch.setattr(sys, "__stdout__", pipe)
        assert not is_for_bars(Terminal())
        monkeypatch.setattr(sys, "__stdout__", None)
        assert is_for_bars(Terminal())


PROGRAM = """
import sys, time
from ccafl_plugin.runs.run_files import _Tee
from ccafl_plugin.utils import progress
progress.QUIET, progress.EVERY = 0.05, 0.05
sys.stdout = _Tee(sys.stdout, open(sys.argv[1], "w", buffering=1))
for step in progress.watched(range(20), 20, "steps", "Walking"):
    time.sleep(0.02)
    if step % 5 == 4:
        print(f"step {step + 1}")
"""


def test_on_a_pseudo_terminal_the_log_has_lines_and_no_bar(tmp_path: Path) -> None:
    def program() -> None:
        sys.argv = ["program", str(tmp_path / "log")]
        exec(PROGRAM, {})

    screen = on_pseudo_terminal(program)
    text = screen.getvalue()
    assert "\rWalking:" in text and "/20 steps [" in text
    assert screen.on_screen() == ["step 5", "step 10", "step 15", "step 20", ""]
    assert (tmp_path / "log").read_text() == "step 5\nstep 10\nstep 15\nstep 20\n"


def test_through_a_pipe_there_are_plain_lines(tmp_path: Path) -> None:
    def program() -> None:
        sys.stdout = sys.stderr = open(tmp_path / "output", "w", buffering=1)  # noqa: SIM115
        sys.argv = ["program", str(tmp_path / "log")]
        exec(PROGRAM, {})

    in_child(program)
    output = (tmp_path / "output").read_text()
    assert "\r" not in output
    lines = output.splitlines()
    assert re.fullmatch(r"Walking: \d+ of 20 steps, [\d.]+ a second, \d:\d\d left", lines[0])
    assert lines[-1].startswith("Walking: 20 of 20 steps, ")
    assert [line for line in lines if line.startswith("step")] == ["step 5", "step 10", "step 15", "step 20"]
    assert (tmp_path / "log").read_text() == "step 5\nstep 10\nstep 15\nstep 20\n"
