"""Unwraps models from torch's parallel wrappers, and tells which process writes files."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside ``nn.DataParallel`` or ``DistributedDataParallel``, or the model itself."""
    while isinstance(model, (nn.DataParallel, DistributedDataParallel)):
        model = model.module
    return model


def is_first_process() -> bool:
    """True if this process writes the files that all processes of a run share; True for a single process."""
    return not is_distributed() or torch.distributed.get_rank() == 0


def is_distributed() -> bool:
    """True if ``torch.distributed`` is initialised."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def num_processes() -> int:
    """Number of processes of the run; 1 without ``torch.distributed``."""
    return torch.distributed.get_world_size() if is_distributed() else 1
