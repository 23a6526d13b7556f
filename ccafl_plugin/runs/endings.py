"""How a run ends before its end: one line about a signal, a full disk, full memory or a killed data worker."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ccafl_plugin.engine.manifests import manifests
from ccafl_plugin.runs.resuming import AUTO
from ccafl_plugin.runs.torchrun import is_lost_process
from ccafl_plugin.utils.distributed import num_processes
from ccafl_plugin.utils.stopping import Stopped

FULL_DISK = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
NO_SHARED_MEMORY = (
    "a data worker found no room in shared memory (/dev/shm). Give it more (docker run --shm-size 8g), or set "
    "data.workers lower; 0 needs none"
)
NO_WRITING = (*FULL_DISK, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


def stopped_line(stop: Stopped, folder: str, argv: Sequence[str], needs_no_more: bool = False) -> str:
    """The line about a signal, with the command that goes on.

    Args:
        stop: the signal.
        folder: folder of the run.
        argv: arguments of the command.
        needs_no_more: the run only tests, so there is nothing to go on with.
    """
    by = "Ctrl-C" if stop.number == signal.SIGINT else signal.Signals(stop.number).name
    if needs_no_more:
        return f"stopped by {by}"
    return f"stopped by {by}; {going_on(folder, argv)}"


def going_on(folder: str, argv: Sequence[str]) -> str:
    """Names the last checkpoint and the command that goes on from it."""
    found = manifests(folder)
    kept = f"the last checkpoint is {found[-1]}" if found else f"there is no checkpoint in {folder} yet"
    return f"{kept}. Go on with: {command(argv, bool(found))}"


def command(argv: Sequence[str], has_checkpoint: bool) -> str:
    """The command that goes on with a run: the same arguments and ``model.resume auto``."""
    program = sys.argv[0] if sys.argv else ""
    is_file = program.endswith(".py")
    named = f"{Path(sys.executable).name} {shlex.quote(program)}" if is_file else "ccafl-train"
    if num_processes() > 1:
        here = os.environ.get("LOCAL_WORLD_SIZE", num_processes())
        named = f"torchrun --nproc_per_node={here} {shlex.quote(program) if is_file else '--no-python ccafl-train'}"
    words = list(argv)
    if has_checkpoint or AUTO in words:
        for key in ("model.resume", "ccafl.branch_from"):
            while key in words:
                place = words.index(key)
                del words[place : place + 2]
        words += ["model.resume", AUTO]
    return " ".join([named, *map(shlex.quote, words)])


def failure_line(error: BaseException, folder: str) -> str | None:
    """What happened and what to do, in one line; None for an error that this function does not know."""
    text = " ".join(str(error).split())
    if is_lost_process(error):
        return "another process of the run has ended (killed, if it has printed no reason)"
    if isinstance(error, OSError) and _of_multiprocessing(error):
        return NO_SHARED_MEMORY
    if is_full_disk(error):
        where = getattr(error, "filename", None) or folder
        return (
            f"the disk of {str(where)!r} is full. Free some space (ccafl-checkpoints {shlex.quote(folder)} "
            "--remove-earlier removes what earlier runs left there), or set ccafl.keep 1"
        )
    if isinstance(error, OSError) and error.errno in NO_WRITING:
        return f"{str(error.filename or folder)!r} can't be written or read: {(error.strerror or text).lower()}"
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "the GPU's memory is full. Set ccafl.gradient_checkpointing True, ccafl.accumulation 2, or a smaller "
            f"train.batch_size ({text.partition('. ')[0]})"
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        return "the memory is full. Set data.workers and ccafl.extraction_memory lower, or train.batch_size"
    if isinstance(error, RuntimeError) and "DataLoader worker" in text:
        return _of_a_worker(text)
    return None


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that a disk, or a quota, is full; torch says so in words of its own."""
    if isinstance(error, OSError):
        return error.errno in FULL_DISK
    return isinstance(error, RuntimeError) and "PytorchStreamWriter failed" in str(error)


def _of_multiprocessing(error: OSError) -> bool:
    """Whether the locks and queues between processes could not be made, which are files of shared memory."""
    names = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return error.filename is None and "multiprocessing.synchronize" in names


def _of_a_worker(text: str) -> str | None:
    if "shared memory" in text or "Bus error" in text:
        return NO_SHARED_MEMORY
    killed = re.search(r"is killed by signal: (\w+)", text)
    if killed or "exited unexpectedly" in text:
        how = f" by {killed[1]}" if killed else ""
        return (
            f"a data worker was killed{how}, in most cases because the memory was full. Set data.workers or "
            "train.batch_size lower"
        )
    return None
