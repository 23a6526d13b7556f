"""Training processes: started apart from the terminal, one per folder, ended with all that they have started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ccafl_plugin.config.shipped_files import PACKAGE
from ccafl_plugin.utils.errors import CCAFLError

try:
    import fcntl
except ImportError:  # not on Windows; folders are not locked there
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"


class Process(Protocol):
    """What the runner asks of a process."""

    def poll(self) -> int | None:
        """Exit status; None while it runs; below 0: the signal that ended it."""

    def stop(self) -> None:
        """Asks it and its children to end."""

    def wait(self) -> None:
        """Until it has ended; after some seconds it is made to."""


def launch(arguments: Sequence[str], log: Path, threads: int) -> Process:
    """Starts ``ccafl-train`` in a process of its own.

    Args:
        arguments: of the command line.
        log: what it prints is appended to this file. The folder is locked while the process lives, whoever started
            it, so that a suite that is started again doesn't write into the folder of a process it left behind.
        threads: of torch.

    Raises:
        CCAFLError: another process is at work in the folder.
    """
    lock = lock_folder(log.parent)
    path = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }
    try:
        with open(log, "ab") as file:
            return _Child(
                subprocess.Popen(
                    [sys.executable, "-m", "ccafl_plugin.runs.train_command", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                    pass_fds=() if lock is None else (lock,),
                )
            )
    finally:
        if lock is not None:
            os.close(lock)  # the child holds it


def lock_folder(folder: Path) -> int | None:
    """Locks a folder for as long as the file descriptor that is returned, or a child's copy of it, is open.

    Raises:
        CCAFLError: somebody else has it.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise CCAFLError(f"another process is at work in {folder}; wait for it or end it.") from error
    return descriptor


class _Child:
    def __init__(self, process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
        self.process = process
        self.patience = patience

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self.patience)
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))  # data workers that are left, too
        self.process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)  # it leads a group of its own
            else:
                self.process.terminate()
