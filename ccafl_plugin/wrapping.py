"""Models inside torch's parallel wrappers."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside ``nn.DataParallel`` or ``DistributedDataParallel``, or the model itself."""
    while isinstance(model, (nn.DataParallel, DistributedDataParallel)):
        model = model.module
    return model
