"""How far a long command is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

EVERY = 10.0
"""Seconds between two plain lines, at least."""


class Progress:
    """Counts what is done; a context.

    On a terminal tqdm draws a bar. Into a file or a pipe, a line is printed at most every :data:`EVERY` seconds, and
    one at the end.

    Args:
        total: how many there are.
        what: their name in the plural.
        done: how many of them are done already.
        stream: where it is written; None: standard error.
        clock: seconds from any zero.
    """

    def __init__(
        self,
        total: int,
        what: str,
        done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.what, self.done = total, what, done
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._start = self._last = clock()
        self._first = done
        self._bar = _bar(total, what, done, self._stream) if self._stream.isatty() else None

    def add(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._clock() - self._last >= EVERY:
            self._say()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif error is None:
            self._say()

    def _say(self) -> None:
        self._last = self._clock()
        seconds = self._last - self._start
        rate = f", {(self.done - self._first) / seconds:.1f} a second" if seconds > 0 else ""
        print(f"{self.done} of {self.total} {self.what}{rate}", file=self._stream, flush=True)


def _bar(total: int, what: str, done: int, stream: TextIO) -> Any:
    """tqdm's; open_clip brings it."""
    try:
        tqdm = importlib.import_module("tqdm")
    except ImportError:
        return None
    return tqdm.tqdm(total=total, initial=done, unit=f" {what}", file=stream)
