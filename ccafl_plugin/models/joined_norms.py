"""Batch norms that see the whole batch although several processes share it."""

from __future__ import annotations

from torch import Tensor, nn

from ccafl_plugin.models.pooling import NeckBatchNorm
from ccafl_plugin.utils.dtypes import at_least_float32, no_autocast


class SyncNeckBatchNorm(nn.SyncBatchNorm):
    """:class:`NeckBatchNorm` for several processes: no bias, computed in float32 (float64 for float64 input).

    Args:
        num_features: D.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.bias = None  # type: ignore[assignment]  # torch declares a parameter, but None is allowed

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.ones_(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) floats of any precision -> (B, D), float32."""
        with no_autocast(features.device.type):
            return super().forward(at_least_float32(features))


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
