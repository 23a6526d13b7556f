"""Batch norms that see the whole batch although several processes share it."""

from __future__ import annotations

import torch
from torch import nn

from ccafl_plugin.models.pooling import NeckBatchNorm, NeckNorm
from ccafl_plugin.utils.distributed import num_processes


class SyncNeckBatchNorm(NeckNorm, nn.SyncBatchNorm):
    """:class:`NeckBatchNorm` for several processes; see :class:`NeckNorm`."""


def join_if_shared(model: nn.Module, device: torch.device, wanted: bool = True) -> None:
    """Joins the batch norms of a model that several processes train on GPUs; there is no such layer for a CPU.

    Args:
        model: see :func:`join_batch_norms`.
        device: of the model.
        wanted: False: they are left alone.
    """
    if wanted and num_processes() > 1 and device.type == "cuda":
        join_batch_norms(model)


def join_batch_norms(model: nn.Module) -> None:
    """Replaces the batch norms in a model by ``SyncBatchNorm``, in place.

    Parameters and buffers are the same objects, so an optimizer goes on with them; state dicts have the same names.

    Args:
        model: without parallel wrappers; not a batch norm itself.
    """
    necks = [
        (parent, name, norm)
        for parent in model.modules()
        for name, norm in parent.named_children()
        if isinstance(norm, NeckBatchNorm)
    ]
    nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for parent, name, norm in necks:
        joined = SyncNeckBatchNorm(norm.num_features)
        joined.weight, joined.momentum, joined.eps = norm.weight, norm.momentum, norm.eps
        joined.train(norm.training)
        for buffer, tensor in norm.named_buffers():
            setattr(joined, buffer, tensor)
        setattr(parent, name, joined)
