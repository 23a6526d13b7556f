"""The training command under ``torchrun``: its process group, who prints a failure, and how the processes end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import torch
from yacs.config import CfgNode

from ccafl_plugin.engine.process_agreement import check_alike
from ccafl_plugin.utils.distributed import (
    LONGEST_WAIT,
    is_distributed,
    is_first_process,
    num_processes,
    process_number,
)
from ccafl_plugin.utils.errors import CCAFLError, of_all
from ccafl_plugin.utils.trees import leaves

FAILED = "ccafl/failed"
"""Key of the group's store: how many processes have had a failure to print."""

OF_A_MACHINE = ("data.root", "data.save_dir", "data.workers", "model.load_weights", "ccafl.clip_weights")
"""Keys that may differ between the machines of a run: paths, and what fits a machine."""


def run_in_group(run: Callable[[], int]) -> int:
    """Runs a command in the process group that ``torchrun`` describes; alone, or in a group that exists, just runs it.

    A process that has failed ends at once, without the clean-up in which it could wait for the others; ``torchrun``
    then ends these.

    Args:
        run: the command; returns its exit status.

    Raises:
        CCAFLError: the group could not be made.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or "RANK" not in os.environ or is_distributed():
        return run()
    if torch.cuda.is_available() and _place() < torch.cuda.device_count():
        torch.cuda.set_device(_place())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        torch.distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise CCAFLError(
            f"the environment says that this is process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} (RANK, "
            f"WORLD_SIZE), but their group could not be made: {reason}. Start all by "
            "torchrun, with another --master_port if its port is taken, or unset both to train in one process."
        ) from error
    code = run()
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    torch.distributed.destroy_process_group()
    return code


def _place() -> int:
    """The number of this process on its machine, from 0, and so of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def check_processes(config: CfgNode) -> None:
    """Checks that the run may have several processes; all of them call it.

    Raises:
        CCAFLError: their settings differ, there are more of them than GPUs, or they use one of torchreid's own engines,
            which train in one.
    """
    if num_processes() == 1:
        return
    check_alike({key: value for key, value in leaves(config) if key not in OF_A_MACHINE})
    if config.loss.name != "ccafl":
        raise of_all(
            CCAFLError(
                f"loss.name: torchreid's engine of {config.loss.name} trains in one process. Start it without "
                "torchrun, or set loss.name ccafl with ccafl.terms.softmax and ccafl.terms.triplet, which torchreid's "
                "losses are."
            )
        )
    here = max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), _place() + 1)
    if config.use_gpu and torch.cuda.is_available() and here > torch.cuda.device_count():
        raise CCAFLError(
            f"use_gpu: there are {here} processes on this machine, more than its visible GPUs. Start torchrun with "
            f"--nproc_per_node={torch.cuda.device_count()}, or set use_gpu False."
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


def of_process(error: object = None) -> str:
    """What a failure's line says of its process; empty for a single one, the first, and an error that all raise."""
    if is_first_process() or getattr(error, "of_all", False):
        return ""
    return f" (process {process_number()} of {num_processes()})"


def is_lost_process(error: BaseException) -> bool:
    """Whether an error says that another process of the run has ended."""
    if num_processes() == 1 or not isinstance(error, RuntimeError):
        return False
    kind = getattr(torch.distributed, "DistError", ())
    return isinstance(error, kind) or any(word in str(error) for word in ("gloo", "NCCL", "Connection closed by peer"))
