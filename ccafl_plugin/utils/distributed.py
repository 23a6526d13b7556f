"""Processes that share a run: who they are, what they send each other, and models inside torch's parallel wrappers.

Everything here is a call of ``torch.distributed``; without an initialised group, a process is alone and sends nothing.
Features and gradients go through the default group, on the model's device. Objects, and the waiting for work that only
the first process does, go through a gloo group, whose timeout is longer than such work takes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ccafl_plugin.utils.errors import CCAFLError, of_all

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=7)
"""For work of the first process, such as stage 1. If a process dies, the connection breaks, and nobody waits."""

SMALLEST_SHARE = 2
"""Images of a batch per process; batch norm needs two rows."""

ROWS_AT_ONCE = 1024
"""Rows that :func:`send_shares` sends at once."""

_control: tuple[Any, Any] | None = None  # the default group, and the gloo group that was made for it


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside ``nn.DataParallel`` or ``DistributedDataParallel``, or the model itself."""
    while isinstance(model, (nn.DataParallel, DistributedDataParallel)):
        model = model.module
    return model


def without_ddp(model: nn.Module) -> nn.Module:
    """The model inside ``DistributedDataParallel``: whoever sends gradients wraps it, and tests send no buffers."""
    return without_ddp(model.module) if isinstance(model, DistributedDataParallel) else model


def is_distributed() -> bool:
    """True if ``torch.distributed`` is initialised."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def num_processes() -> int:
    """Number of processes of the run; 1 without ``torch.distributed``."""
    return torch.distributed.get_world_size() if is_distributed() else 1


def process_number() -> int:
    """Rank of this process, from 0; 0 without ``torch.distributed``."""
    return torch.distributed.get_rank() if is_distributed() else 0


def is_first_process() -> bool:
    """True if this process prints, and writes the files that all processes of a run share."""
    return process_number() == 0


def check_initialised() -> None:
    """Checks that a program that ``torchrun`` has started has a process group.

    Raises:
        CCAFLError: it has none, so that every process would train for itself, into the same folder.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1 and not is_distributed():
        raise CCAFLError(
            f"torchrun has started {os.environ['WORLD_SIZE']} processes, but they have no process group. Call "
            "torch.distributed.init_process_group() before the engine is created, or start it without torchrun."
        )


@contextmanager
def quiet_unless_first() -> Iterator[None]:
    """Context in which only the first process prints and warns."""
    if is_first_process():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- shares ------------------------------------------------------------------------------------------------------


def own_share(count: int) -> slice:
    """This process's part of ``count`` things: every W-th one, from the process's own number on."""
    return slice(process_number(), count, num_processes())


def own_images(batch_size: int) -> slice:
    """This process's part of a batch; all of a batch with fewer than two images per process."""
    return own_share(batch_size) if batch_size >= SMALLEST_SHARE * num_processes() else slice(0, batch_size, 1)


def gather_rows(rows: Tensor | None, count: int, device: torch.device | None = None) -> Tensor:
    """Joins the processes' shares in order.

    Args:
        rows: (n, ...) of any type, the rows ``own_share(count)``; of equal shape behind n, and on a device that the
            default group can send from. None: this process has none, which is possible for fewer rows than processes.
        count: number of rows of all processes together, at least 1.
        device: of the rows, where ``rows`` may be None.

    Returns:
        (count, ...), equal in every process; without a graph. ``rows`` itself if there is one process.
    """
    world = num_processes()
    if count < world:
        shape, dtype = from_first(lambda: ((0,), None) if rows is None else ((0, *rows.shape[1:]), rows.dtype))
        rows = torch.zeros(shape, dtype=dtype, device=device) if rows is None else rows
    if rows is None:
        raise ValueError("no rows")
    if world == 1:
        return rows
    most = -(-count // world)
    padded = rows.new_zeros(most, *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    found = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(found, padded)
    return torch.stack(found, dim=1).flatten(0, 1)[:count]


@torch.no_grad()
def send_shares(rows: Tensor) -> None:
    """Fills the rows of other processes' shares with theirs, in place.

    Args:
        rows: (count, ...) on the CPU; the rows ``own_share(count)`` are this process's.
    """
    for number in range(num_processes() if num_processes() > 1 else 0):
        share = rows[number :: num_processes()]
        for first in range(0, len(share), ROWS_AT_ONCE):
            part = share[first : first + ROWS_AT_ONCE].contiguous()
            torch.distributed.broadcast(part, src=number, group=_control_group())
            share[first : first + ROWS_AT_ONCE] = part


# --- what is sent --------------------------------------------------------------------------------------------------


def _control_group() -> Any:
    """The gloo group for objects; made at the first use, in which all processes take part."""
    global _control
    default = torch.distributed.group.WORLD
    if _control is None or _control[0] is not default:
        _control = default, torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    return _control[1]


def from_first(compute: Callable[[], T]) -> T:
    """What ``compute`` returns in the first process, which alone calls it; the others wait for it.

    Args:
        compute: returns anything that can be pickled, with tensors on the CPU.

    Raises:
        CCAFLError: ``compute`` raised it; then all processes do.
    """
    if num_processes() == 1:
        return compute()
    sent: list[Any] = [None, None]
    if is_first_process():
        try:
            sent[1] = compute()
        except CCAFLError as error:
            sent[0] = of_all(error)
            torch.distributed.broadcast_object_list(sent, src=0, group=_control_group())
            raise
    torch.distributed.broadcast_object_list(sent, src=0, group=_control_group())
    if sent[0] is not None:
        raise sent[0]
    result: T = sent[1]
    return result


def first_then_others(make: Callable[[], T]) -> T:
    """What ``make`` returns in each process; the first one calls it before the others, so that it may write files.

    Raises:
        CCAFLError: ``make`` raised it.
    """
    made: list[T] = []
    from_first(lambda: made.append(make()))
    return made[0] if made else make()


def from_all(value: T) -> list[T]:
    """The value of every process, by its number; they wait for each other. Tensors must be on the CPU."""
    if num_processes() == 1:
        return [value]
    found: list[Any] = [None] * num_processes()
    torch.distributed.all_gather_object(found, value, group=_control_group())
    return found


@torch.no_grad()
def send_tensors(tensors: Iterable[Tensor]) -> None:
    """Overwrites tensors with those of the first process, in place; they are on the model's device."""
    if num_processes() > 1:
        for tensor in tensors:
            whole = tensor.detach().contiguous()
            torch.distributed.broadcast(whole, src=0)
            if whole.data_ptr() != tensor.data_ptr():
                tensor.copy_(whole)


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Averages the running statistics of batch norms over the processes, in place.

    Each process has seen its own share of the images. Statistics of ``SyncBatchNorm`` are equal already.
    """
    world = num_processes()
    if world == 1:
        return
    norms = [each for each in model.modules() if isinstance(each, _BatchNorm)]
    plain = [each for each in norms if not isinstance(each, nn.SyncBatchNorm)]
    buffers = [buffer for norm in plain for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
    if not buffers:
        return
    flat = torch.cat([buffer.flatten() for buffer in buffers])
    torch.distributed.all_reduce(flat)
    for buffer, mean in zip(buffers, (flat / world).split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))


def say(line: str) -> None:
    """Prints a line of any process on the error output, whole, so that lines of several processes don't mix."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
