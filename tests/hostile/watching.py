"""Sees what a file's reading does besides reading: programs started, names looked up by a pickle, code run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

FORBIDDEN = {
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn"),
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"),
    *("pickle.find_class", "exec", "compile", "import", "ctypes.dlopen", "socket.connect", "socket.getaddrinfo"),
}
"""Audit events of Python that reading a file of weights has no reason to raise."""

_events: list[str] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _events is None:
        return
    if event in FORBIDDEN:
        _events.append(f"{event} {arguments[:1]}")
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _events.append(f"open {arguments[0]!r} for writing")


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Inside, the forbidden events are collected in the list that is given."""
    global _events
    _events = found = []
    try:
        yield found
    finally:
        _events = None
