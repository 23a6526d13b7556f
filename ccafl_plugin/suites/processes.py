"""Training processes: each runs in its own session, locks its folder, and is ended together with its children."""

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
from ccafl_plugin.utils.folder_lock import INHERITED, lock_folder


class Process(Protocol):
    """What the runner needs of a process."""

    def poll(self) -> int | None:
        """Exit status; None while it runs; negative: the signal that ended it."""

    def stop(self) -> None:
        """Tells the process and its children to end."""

    def wait(self) -> None:
        """Waits until it has ended; kills it after some seconds."""


def launch(arguments: Sequence[str], log: Path, threads: int) -> Process:
    """Starts ``ccafl-train`` in a new process.

    Args:
        arguments: arguments of the command line.
        log: the output is appended to this file. The folder is locked while the process runs, even if the suite that
            started it has ended. So a suite that is started again does not write into the folder of a running process.
        threads: number of torch's threads.

    Raises:
        CCAFLError: another process uses the folder.
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
    environment.pop(INHERITED, None)
    if lock is not None:
        environment[INHERITED] = str(lock)
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
            os.close(lock)  # the child keeps its own copy open


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
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))  # also ends remaining data workers
        self.process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)  # the process is the leader of its own group
            else:
                self.process.terminate()
