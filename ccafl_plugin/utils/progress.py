"""How far long work is: a bar with the time left on a terminal, a plain line now and then elsewhere.

This module alone decides what is shown. Bars and lines go to standard error, so neither is in the log of a run.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import ClassVar, TextIO, TypeVar

from ccafl_plugin.utils.distributed import is_first_process
from ccafl_plugin.utils.terminal_bar import TerminalBar, make_bar, number

QUIET = 2.0
"""Seconds of work before a bar appears on a terminal."""

EVERY = 10.0
"""Seconds before the first plain line and between two of them, at least."""

Item = TypeVar("Item")


class Progress:
    """Counts what is done; a context.

    On a terminal tqdm draws a bar after :data:`QUIET` seconds, which vanishes at the end. Into a file or a pipe, a line
    is printed at most every :data:`EVERY` seconds, and one at the end if there was one before. So short work shows
    nothing. Inside another progress, in other processes of a distributed run than the first, and where the environment
    has ``TQDM_DISABLE``, nothing is shown.

    Args:
        total: how many there are.
        what: their name in the plural.
        work: what is being done with them; empty: the name says it.
        done: how many of them are done already.
        stream: where it is written; None: standard error.
        clock: seconds from any zero.
    """

    _outermost: ClassVar[Progress | None] = None

    def __init__(
        self,
        total: int,
        what: str,
        work: str = "",
        done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.what, self.work, self.done = total, what, work, done
        self._stream = sys.stderr if stream is None else stream  # None in a program without a console
        self._clock = clock
        self._first = done
        self._bar: TerminalBar | None = None
        self._has_said = False
        self._start = clock()
        self._draws = self._stream is not None and is_for_bars(self._stream)
        self._next = self._start + (QUIET if self._draws else EVERY)

    def add(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._clock() >= self._next and self.done < self.total:
            self._show()

    def __enter__(self) -> Progress:
        if Progress._outermost is None:
            Progress._outermost = self
        if Progress._outermost is not self or self._stream is None or _is_switched_off():
            self._next = float("inf")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Progress._outermost is self:
            Progress._outermost = None
        if self._bar is not None:
            self._bar.close()
        elif self._has_said and error is None:
            self._say()

    def _show(self) -> None:
        if not self._draws:
            self._say()
            return
        self._bar = make_bar(self.total, self.what, self.work, self._first, self._stream)
        self._bar.begin(self.done - self._first, self._clock() - self._start)

    def _say(self) -> None:
        now = self._clock()
        self._next, self._has_said = now + EVERY, True
        words = f"{self.work}: " * bool(self.work) + f"{number(self.done)} of {number(self.total)} {self.what}"
        done, seconds = self.done - self._first, now - self._start
        if done > 0 and seconds > 0:
            rate = done / seconds
            words += f", {number(rate)} a second" if rate >= 0.1 else ""
            words += f", {time_left((self.total - self.done) / rate)} left" if self.done < self.total else ""
        with contextlib.suppress(OSError, ValueError):  # nobody reads standard error any more; the work goes on
            print(words, file=self._stream, flush=True)


def watched(
    items: Iterable[Item], total: int, what: str, work: str = "", size: Callable[[Item], int] = lambda _: 1
) -> Iterator[Item]:
    """The items of a ``for`` loop, with a :class:`Progress`.

    Args:
        items: what is looped over.
        total: how many there are.
        what: their name in the plural.
        work: what is being done with them.
        size: how many are done when an item is done.
    """
    with Progress(total, what, work) as progress:
        for item in items:
            yield item
            progress.add(size(item))


def is_for_bars(stream: TextIO) -> bool:
    """Whether a stream is a terminal, and standard output does not reach that terminal by a pipe, as in ``| tee log``.

    Lines that come through a pipe cannot be kept apart from a bar.
    """
    if not stream.isatty():
        return False
    try:
        assert sys.__stdout__ is not None
        return not stat.S_ISFIFO(os.fstat(sys.__stdout__.fileno()).st_mode)
    except (AssertionError, OSError, ValueError):
        return True


def time_left(seconds: float) -> str:
    """``1:05`` for 65 seconds, ``2:00:00`` for two hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _is_switched_off() -> bool:
    return bool(os.environ.get("TQDM_DISABLE")) or not is_first_process()
