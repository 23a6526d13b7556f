"""Programs on a pseudo-terminal, and what a person would see there."""

from __future__ import annotations

import io
import os
import pty
import sys
import threading
from collections.abc import Callable

from tests.children import in_child


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def on_screen(self) -> list[str]:
        """The lines as a terminal would show them, without blanks at their ends."""
        lines = []
        for line in self.getvalue().replace("\r\n", "\n").split("\n"):
            shown: list[str] = []
            for part in line.split("\r"):
                shown[: len(part)] = part
            lines.append("".join(shown).rstrip())
        return lines


def on_pseudo_terminal(function: Callable[[], None]) -> Terminal:
    """Calls ``function`` in a forked child whose output and errors go to a pseudo-terminal; gives what it wrote.

    Raises:
        AssertionError: the function raised; the message is the child's traceback.
    """
    ours, theirs = pty.openpty()
    received: list[bytes] = []

    def receive() -> None:
        try:
            while part := os.read(ours, 1 << 16):
                received.append(part)
        except OSError:  # nobody has the other end any more
            pass

    def program() -> None:
        os.close(ours)
        for number in (1, 2):
            os.dup2(theirs, number)
        sys.stdout = sys.__stdout__ = os.fdopen(os.dup(1), "w", buffering=1)  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = os.fdopen(os.dup(2), "w", buffering=1)  # type: ignore[misc]
        function()
        sys.stdout.flush()

    reading = threading.Thread(target=receive)
    reading.start()
    try:
        in_child(program)
    finally:
        os.close(theirs)
        reading.join()
        os.close(ours)
        text = b"".join(received).decode()
        print(text)  # read by people if the test has failed
    return Terminal(text)
