"""Ctrl-C and SIGTERM end a run between two iterations; a second one ends it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

LAST_RESORT = 10.0
"""Seconds after a signal, see :class:`Stopper`; ``torchrun`` kills after 30."""


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

    Args:
        last_resort: whether a thread ends the process ``LAST_RESORT`` seconds after a signal. A process of several that
            waits for one that has ended may wait inside of torch, where Python takes no signal.
    """

    def __init__(self, last_resort: bool = False) -> None:
        self.last_resort = last_resort
        self.depth = 0
        self.pending = 0
        self.process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        global _active
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
            _active = self
            if self.last_resort:
                self._start_last_resort()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        global _active
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if _active is self:
            _active = None

    def _start_last_resort(self) -> None:
        """Python writes a signal's number into a pipe at once, whatever the main thread waits for."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def wait() -> None:
            number = 0
            while number not in SIGNALS:
                number = os.read(reader, 1)[0]
            time.sleep(LAST_RESORT)
            os._exit(128 + number)

        threading.Thread(target=wait, daemon=True).start()

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


def _forget_in_child() -> None:
    """A forked child, such as a data worker that is ended by SIGTERM, must not wake the last resort of its parent."""
    if _active is not None and _active.last_resort:
        with suppress(ValueError):  # forked from another thread
            signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
