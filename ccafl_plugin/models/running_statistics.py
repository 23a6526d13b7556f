"""Keeps the running statistics of batch norms unchanged during a repeated forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Context manager for a forward pass that repeats an earlier one: running statistics do not change in it.

    Outputs and gradients are those of any other forward pass in training mode. (It sets the momentum to 0. Removing the
    buffers instead would save fewer tensors for the backward pass, and checkpointing would fail.)

    Args:
        module: the module that contains the batch norms.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
