"""Ctrl-C and SIGTERM end a run between two iterations; a second one ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The user, or the system, has asked the run to end. It is no ``Exception``, so nothing takes it for a fault.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def code(self) -> int:
        """The exit status that shells give: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number


class Stopper:
    """Context in which both signals raise :class:`Stopped`, but a first one not before :func:`shielded` work is done.

    Only the main thread can take signals; in another one nothing changes. Forked children, such as data workers,
    ignore Ctrl-C: the run tells them when to end.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.pending = 0
        self.process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        global _active
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
            _active = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        global _active
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if _active is self:
            _active = None

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self.process:
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        first, self.pending = not self.pending, number
        if first and self.depth:
            os.write(2, b"Ending after this iteration; once more: at once\n")
            return
        raise Stopped(number)


_active: Stopper | None = None


@contextmanager
def shielded(stop: bool = True) -> Iterator[None]:
    """Work that a first signal does not break off, such as an iteration, or the writing of a checkpoint.

    Args:
        stop: whether a signal that came meanwhile ends the run after the work; if not, the next shielded work does.

    Raises:
        Stopped: a signal has come.
    """
    stopper = _active
    if stopper is None or os.getpid() != stopper.process:
        yield
        return
    stopper.depth += 1
    try:
        yield
    finally:
        stopper.depth -= 1
    if stop and stopper.pending and not stopper.depth:
        raise Stopped(stopper.pending)
