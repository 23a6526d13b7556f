"""Locks a run's folder, so that two runs never write into it at once.

The lock is the operating system's (``flock``): it ends with the process that holds it, however that ends. So a lock
file that a killed run left behind locks nothing.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ccafl_plugin.utils.errors import CCAFLError

try:
    import fcntl
except ImportError:  # Windows has no fcntl; folders are not locked there
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
INHERITED = "CCAFL_FOLDER_LOCK"
"""Environment variable with the descriptor of a lock that the parent process took and handed on."""

_HELD_BY_ANOTHER = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_held: dict[tuple[int, int], list[int]] = {}
"""File of a lock -> its descriptor, and how often this process has asked for it."""


def lock_folder(folder: Path) -> int | None:
    """Locks a folder while the returned file descriptor, or a child's copy of it, is open.

    Returns:
        The descriptor; None where the system or the file system has no locks.

    Raises:
        CCAFLError: another process has locked it; the message says which.
        OSError: the folder cannot be written.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        os.close(descriptor)
        if error.errno not in _HELD_BY_ANOTHER:
            return None
        raise CCAFLError(
            f"another process is using {folder}{f' ({holder})' if holder else ''}. Wait for it, end it, or choose "
            "another folder."
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}, {time.ctime()}\n".encode(), 0)
    except OSError:  # a full disk: the lock holds without a name
        pass
    return descriptor


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Context in which this process holds the lock of a folder; it may be entered again inside itself.

    Forked children, such as data workers, don't hold it on after this process has ended.

    Raises:
        CCAFLError: another process has locked the folder.
        OSError: the folder cannot be made or written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = _identity(folder / LOCK_FILE)
    if file in _held or (file is not None and file == _inherited()):
        yield
        return
    descriptor = lock_folder(folder)
    if descriptor is None:
        yield
        return
    status = os.fstat(descriptor)
    file = (status.st_dev, status.st_ino)
    _held[file] = [descriptor]
    try:
        yield
    finally:
        for each in _held.pop(file, []):
            os.close(each)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _inherited() -> tuple[int, int] | None:
    """The lock that the parent handed on, if there is one."""
    try:
        status = os.fstat(int(os.environ[INHERITED]))
    except (KeyError, ValueError, OSError):
        return None
    return status.st_dev, status.st_ino


def _forget_in_child() -> None:
    """Closes a forked child's copies, so that a worker that outlives its parent keeps no lock."""
    for descriptors in _held.values():
        for each in descriptors:
            os.close(each)
    _held.clear()
    if INHERITED in os.environ and _inherited() is not None:
        os.close(int(os.environ[INHERITED]))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
