"""The training command under ``torchrun``: its process group, who prints a failure, and how the processes end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import torch
from yacs.config import CfgNode

from ccafl_plugin.utils.distributed import (
    LONGEST_WAIT,
    is_distributed,
    is_first_process,
    num_processes,
    process_number,
)
from ccafl_plugin.utils.errors import CCAFLError

FAILED = "ccafl/failed"
"""Key of the group's store: how many processes have had a failure to print."""


def run_in_group(run: Callable[[], int]) -> int:
    """Runs a command in the process group that ``torchrun`` describes; alone, or in a group that exists, just runs it.

    A process that has failed ends at once, without the clean-up in which it could wait for the others; ``torchrun``
    then ends these.

    Args:
        run: the command; returns its exit status.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or "RANK" not in os.environ or is_distributed():
        return run()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    code = run()
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    torch.distributed.destroy_process_group()
    return code


def check_processes(config: CfgNode) -> None:
    """Checks that the run may have several processes.

    Raises:
        CCAFLError: torchreid's own engines train in one.
    """
    if num_processes() > 1 and config.loss.name != "ccafl":
        raise CCAFLError(
            f"loss.name: torchreid's engine of {config.loss.name} trains in one process. Start it without torchrun, or "
            "set loss.name ccafl with ccafl.terms.softmax and ccafl.terms.triplet, which torchreid's losses are."
        )


def use_threads(workers: int) -> None:
    """Leaves a core for each data worker, because torch's threads would wait for cores that workers use.

    The run's processes on this machine share its cores; ``torchrun`` sets one thread for each if nobody else does.

    If ``OMP_NUM_THREADS`` is set in the environment, it is kept: a program that starts several runs divides the cores.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if num_processes() > 1 else 1
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // here - workers))


def is_first_to_fail() -> bool:
    """Whether no other process has had a failure to print; those that come later are mostly consequences of the first.

    True for a single process, and if the group's store is gone.
    """
    if num_processes() == 1:
        return True
    try:
        store = torch.distributed.distributed_c10d._get_default_store()  # noqa: SLF001  torch has no other name for it
        return bool(store.add(FAILED, 1) == 1)
    except Exception:  # its process may be the one that has ended
        return True


def of_process() -> str:
    """What a failure's line says of its process; empty for a single one and the first."""
    return "" if is_first_process() else f" (process {process_number()} of {num_processes()})"


def is_lost_process(error: BaseException) -> bool:
    """Whether an error says that another process of the run has ended."""
    if num_processes() == 1 or not isinstance(error, RuntimeError):
        return False
    kind = getattr(torch.distributed, "DistError", ())
    return isinstance(error, kind) or any(word in str(error) for word in ("gloo", "NCCL", "Connection closed by peer"))
