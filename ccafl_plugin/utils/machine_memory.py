"""Memory for bytes that all processes of a run read, one copy on each machine."""

from __future__ import annotations

import math
import mmap
import os
import platform
import tempfile
from collections.abc import Sequence

import torch
from torch import Tensor

from ccafl_plugin.utils.distributed import from_all, process_number, send_shares

SHARED_MEMORY = "/dev/shm"
"""Folder of the file through which the processes of a machine share memory."""


class MachineBytes:
    """(count, ...) uint8 of which every process of a run fills its share of the rows, one copy on each machine.

    The processes of a machine map one file in memory, whose name is gone as soon as all have opened it: the memory is
    free when they have ended, however they end. Where a machine has too little shared memory, each of its processes has
    a copy of its own. All processes of the run create it, and call :meth:`complete`, at the same time.

    Args:
        shape: (count, ...).

    Attributes:
        rows: the bytes.
        is_shared: whether the processes of this machine have a single copy.
        copies: number of copies on this machine.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        size = math.prod(shape)
        machines = from_all(platform.node())
        first = machines.index(platform.node())
        is_first = first == process_number() and machines.count(platform.node()) > 1
        file = _new_file(size) if is_first else None
        try:
            mapped = _mapped(from_all(file)[first], size)
            opened = from_all(mapped is not None)
        finally:  # also if another process has died meanwhile
            if file is not None:
                os.unlink(file)
        self.is_shared = all(each for each, machine in zip(opened, machines, strict=True) if machine == platform.node())
        self.copies = 1 if self.is_shared else machines.count(platform.node())
        self._is_whole = self.is_shared and len(set(machines)) == 1
        own = mapped if mapped is not None and self.is_shared else torch.empty(size, dtype=torch.uint8)
        self.rows: Tensor = own.view(*shape)

    def complete(self) -> None:
        """Waits until all processes have filled their rows, and gets those that are not in this memory."""
        from_all(None)
        if not self._is_whole:
            send_shares(self.rows)


def _new_file(size: int) -> str | None:
    """A new file of so many bytes in the machine's shared memory; None if there is no room for it."""
    try:
        file, name = tempfile.mkstemp(prefix="ccafl-images-", dir=SHARED_MEMORY)
    except OSError:
        return None
    has_room = False
    try:
        os.posix_fallocate(file, 0, size)  # a file that is only as long would end the process that fills it
        has_room = True
    except (AttributeError, OSError):  # macOS has no such function
        pass
    finally:
        os.close(file)
        if not has_room:
            os.unlink(name)
    return name if has_room else None


def _mapped(file: str | None, size: int) -> Tensor | None:
    """(size,) uint8, the content of a file; None if there is none, or if this process can't open it.

    A container can have the name of another one and shared memory of its own, so the file must not be created here, as
    ``torch.from_file`` does.
    """
    if file is None:
        return None
    try:
        with open(file, "r+b") as opened:
            return torch.frombuffer(mmap.mmap(opened.fileno(), size), dtype=torch.uint8)
    except (OSError, ValueError):
        return None
