"""Models inside torch's parallel wrappers, and which process writes files."""

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
    """Whether this process writes what all of a distributed run have in common; True for a single one."""
    return not is_distributed() or torch.distributed.get_rank() == 0


def is_distributed() -> bool:
    """Whether this process is one of several that ``torch.distributed`` knows of."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def num_processes() -> int:
    """How many processes share a run; 1 without ``torch.distributed``."""
    return torch.distributed.get_world_size() if is_distributed() else 1
