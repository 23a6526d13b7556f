"""The layers between an image encoder and the retrieval feature: GeM and batch norm, in float32 also under autocast."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ccafl_plugin.utils.dtypes import at_least_float32, no_autocast


class GeM(nn.Module):
    """Generalised-mean pooling over a feature map, with a learnable exponent.

    ``GeM(x) = mean(max(x, eps) ** p) ** (1 / p)`` over the positions: p = 1 is average pooling, a large p max pooling.
    It is computed in float32 (float64 for float64 input). In half precision, activations of 1e-3 would give
    1e-3 ** 3 = 0, so a zero feature and an infinite gradient.

    Args:
        p: exponent at the start of training; 3 in the paper.
        eps: activations are clamped to at least this; 1e-6 in the paper.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), float(p)))
        self.eps = eps

    def forward(self, maps: Tensor) -> Tensor:
        """(B, D, h, w) floats of any precision -> (B, D), float32."""
        with no_autocast(maps.device.type):
            powers = at_least_float32(maps).clamp(min=self.eps).pow(self.p)
            return powers.mean(dim=(-2, -1)).pow(1.0 / self.p)

    def extra_repr(self) -> str:
        return f"p={self.p.item():.3f}, eps={self.eps}"


class NeckBatchNorm(nn.BatchNorm1d):
    """Batch norm between the pooled feature and everything that uses it, without a bias.

    The method keeps the bias at 0. Here the bias does not exist, because torchreid's engine makes every parameter
    trainable at every epoch. Computed in float32 (float64 for float64 input).

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
