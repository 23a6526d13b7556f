"""A bar on a terminal, which makes room for the lines that are printed meanwhile."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Any, TextIO

USUAL = (80, 24)
"""Columns and lines of a terminal that does not say."""

LARGE = 1_000_000
"""From here on, numbers are shortened."""


class TerminalBar:
    """tqdm's bar. While it is there, whatever is printed stands on lines of its own, above it.

    Args:
        bar: of tqdm.
        stream: the terminal.
    """

    def __init__(self, bar: Any, stream: TextIO) -> None:
        self._bar, self._stream = bar, stream
        self._line_is_open = False
        self._around = {name: _Around(getattr(sys, name), self) for name in ("stdout", "stderr")}

    def begin(self, done: int, seconds: float) -> None:
        """Draws it. So many were done before, in so many seconds."""
        self._bar.start_t -= seconds
        self._bar.last_print_t -= seconds
        for name, around in self._around.items():
            setattr(sys, name, around)
        self.update(done)

    def update(self, count: int) -> None:
        """So many more are done."""
        if self._line_is_open:
            self._bar.n += count
            return
        with contextlib.suppress(OSError):  # the terminal has been closed; the work goes on
            self._bar.update(count)

    def make_room(self, text: str) -> None:
        """Takes the bar away before a text is written; the next :meth:`update` behind a whole line draws it again."""
        if text and not self._line_is_open:
            with contextlib.suppress(OSError):
                self._bar.clear()
                self._stream.flush()
        self._line_is_open = not text.endswith("\n") if text else self._line_is_open

    def close(self) -> None:
        """Takes the bar away for good."""
        for name, around in self._around.items():
            around.bar = None
            if getattr(sys, name) is around:
                setattr(sys, name, around.stream)
        if self._line_is_open:
            self._bar.disable = True  # it is not drawn now, and would clear what is
        with contextlib.suppress(OSError):
            self._bar.close()


class _Around:
    """Stands in for ``sys.stdout`` or ``sys.stderr`` while there is a bar."""

    def __init__(self, stream: Any, bar: TerminalBar) -> None:
        self.stream = stream
        self.bar: TerminalBar | None = bar

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> Any:
        if self.bar is not None:
            self.bar.make_room(text)
        return self.stream.write(text)


def make_bar(total: int, what: str, work: str, done: int, stream: TextIO) -> TerminalBar:
    """A bar that is not drawn yet.

    Args:
        total: how many there are.
        what: their name in the plural.
        work: what is being done with them.
        done: how many of them count as done before the work began.
        stream: the terminal.
    """
    tqdm = importlib.import_module("tqdm").tqdm
    # tqdm's thread, which redraws bars that have become slow, would be there when data workers are forked.
    without_thread = type("Bar", (tqdm,), {"monitor_interval": 0})
    columns, lines = _shape(stream)
    bar = without_thread(
        total=total,
        initial=done,
        desc=work or None,
        unit="",
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} " + what + " [{elapsed}<{remaining}, {rate_noinv_fmt}]",
        unit_scale=total >= LARGE,
        leave=False,
        file=stream,
        ncols=columns,
        nrows=lines,
        miniters=1,  # only that thread would notice that fewer are done in a while than before
        delay=1e-9,  # so that it is first drawn by an update, which knows the rate
    )
    bar.dynamic_ncols = _shape  # tqdm's own gives 0 columns if a terminal does not say
    return TerminalBar(bar, stream)


def _shape(stream: TextIO) -> tuple[int, int]:
    """Columns and lines of a terminal, each time that the bar is drawn."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return USUAL
    return size.columns or USUAL[0], size.lines or USUAL[1]


def number(value: float) -> str:
    """``12936``, ``3.5``; ``1.25G`` for 1 250 000 000."""
    if value < LARGE:
        return f"{value:.1f}" if isinstance(value, float) and value < 100 else f"{value:.0f}"
    for unit in ("M", "G", "T"):
        value /= 1000 if unit != "M" else LARGE
        if value < 1000:
            break
    return f"{value:.3g}{unit}"
