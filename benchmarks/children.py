"""Processes for reports, forked from one that has imported everything: a call pays for its imports once.

The process from which they are forked never touches a GPU, because a child could not use it then.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

PRELOADED = ["benchmarks.measure", "open_clip", "torch._dynamo"]
"""Modules; the last two are otherwise imported by the first model and the first optimizer."""

SECONDS_TO_END = 3.0
"""Between SIGTERM, upon which a process ends what it has started, and SIGKILL."""

ROOT = Path(__file__).resolve().parent.parent
_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
_context = multiprocessing.get_context("forkserver" if _FORKS else "spawn")


def start_importing(environment: dict[str, str]) -> None:
    """Starts the process that imports; returns at once. It stays until this process ends, with its first environment.

    Args:
        environment: variables that libraries read when they are imported.
    """
    if not _FORKS:
        return
    from multiprocessing import forkserver

    own = dict(os.environ)
    # Without it, torch.cuda.is_available in an import would keep forked children from the GPU.
    os.environ.update({"PYTORCH_NVML_BASED_CUDA_CHECK": "1", **environment})
    try:
        _context.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(own)


def start(arguments: list[str], environment: dict[str, str], folder: Path) -> Any:
    """Starts :mod:`benchmarks.measure` in a process with its own session, so that :func:`end` ends all it starts.

    Args:
        arguments: of that module.
        environment: variables for the process and those it starts.
        folder: for temporary files.
    """
    child = _context.Process(target=_be_report, args=(arguments, environment, str(folder)))
    child.start()
    return child


def _be_report(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    with contextlib.suppress(AttributeError, PermissionError):  # Windows; it leads a session already
        os.setsid()
    os.chdir(ROOT)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.environ.update({**environment, "TMPDIR": folder})
    tempfile.tempdir = folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    import torch

    from benchmarks import measure

    if torch.cuda._is_in_bad_fork():  # noqa: SLF001  an import has touched the GPU after all
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.measure", *arguments])
    with contextlib.suppress(KeyError, ValueError):
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    measure.main(arguments)


def end(child: Any) -> None:
    """Ends a process, first by SIGTERM, and all that it has started."""
    if child.is_alive():
        child.terminate()
        child.join(SECONDS_TO_END)
    with contextlib.suppress(AttributeError, ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.join()
