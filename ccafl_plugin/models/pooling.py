"""The layers between an image encoder and the retrieval feature: GeM and batch norm, in float32 also under autocast."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ccafl_plugin.utils.dtypes import at_least_float32, no_autocast

SMALLEST_EXPONENT = 0.01
LARGEST_LOG = 55.0
"""Powers of up to exp(55), about 1e24, leave room for sums and gradients in float32."""


class GeM(nn.Module):
    """Generalised-mean pooling over a feature map, with a learnable exponent.

    ``GeM(x) = mean(max(x, eps) ** p) ** (1 / p)`` over the positions: p = 1 is average pooling, a large p max pooling.
    It is computed in float32 (float64 for float64 input). In half precision, activations of 1e-3 would give
    1e-3 ** 3 = 0, so a zero feature and an infinite gradient.

    Value and gradients are finite for every p. Where a power would leave float32's range, all positions of a channel
    are divided by their largest value (smallest for p < 0) before the power and multiplied by it afterwards, which is
    the same in exact numbers; elsewhere the division is by 1, which changes no bit. Exponents nearer to 0 than 0.01 are
    taken for 0.01 or -0.01, because 1 / p would be infinite; at p = 0 the generalised mean is the geometric mean.

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
            clamped = at_least_float32(maps).clamp(min=self.eps)
            p = _away_from_zero(self.p)
            unit = _unit(clamped, p)
            powers = (clamped / unit).pow(p)
            return powers.mean(dim=(-2, -1)).pow(1.0 / p) * unit.flatten(1)

    def extra_repr(self) -> str:
        return f"p={self.p.item():.3f}, eps={self.eps}"


@torch.no_grad()
def _unit(clamped: Tensor, p: Tensor) -> Tensor:
    """(B, D, 1, 1): what a channel is divided by; 1 where the largest power is between exp(-55) and exp(55)."""
    largest = torch.where(p > 0, clamped.amax(dim=(-2, -1), keepdim=True), clamped.amin(dim=(-2, -1), keepdim=True))
    return torch.where((p * largest.log()).abs() < LARGEST_LOG, torch.ones_like(largest), largest)


def _away_from_zero(p: Tensor) -> Tensor:
    """p with at least 0.01 of size, with p's gradient; the same bits where it has that size."""
    smallest = torch.full_like(p, SMALLEST_EXPONENT)
    nearest = torch.where(p < 0, -smallest, smallest).detach()  # ONNX has no copysign
    return torch.where(p.abs() < SMALLEST_EXPONENT, nearest + (p - p.detach()), p)


class NeckNorm(_BatchNorm):
    """What batch norms of the neck share: no bias, and numbers in float32 (float64 for float64 input).

    The method keeps the bias at 0. Here the bias does not exist, because torchreid's engine makes every parameter
    trainable at every epoch. A subclass names torch's batch norm behind this one.

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


class NeckBatchNorm(NeckNorm, nn.BatchNorm1d):
    """Batch norm between the pooled feature and everything that uses it, without a bias; see :class:`NeckNorm`."""
