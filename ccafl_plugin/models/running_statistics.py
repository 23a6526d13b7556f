"""Batch norms that compute as ever and leave their running statistics alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """For a forward pass that repeats an earlier one: in a ``with`` block, no running statistics change.

    Outputs and gradients are those of any other forward pass in training mode. (Momentum 0 keeps the statistics.
    Without buffers to write, fewer tensors would be saved for the backward pass, at which checkpointing stumbles.)

    Args:
        module: whose batch norms this is about.
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
