"""The classifier over all proxies (L_GID), which learns to distinguish proxies and so cameras."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ccafl_plugin.utils.dtypes import full_precision, no_autocast, widen
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.paper_values import SCALE


class _SimilarityToUnitRows(torch.autograd.Function):
    """Avoids a normalised copy of the weight and gradients that are not needed."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(weight, dim=1).clamp(min=1e-12)
        similarity = features @ weight.T
        similarity /= norms
        ctx.save_for_backward(features, weight, norms, similarity)
        return similarity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        features, weight, norms, similarity = ctx.saved_tensors
        by_features = by_weight = None
        with no_autocast(grad.device.type):
            grad = grad / norms
            if ctx.needs_input_grad[0]:
                by_features = grad @ weight
            if ctx.needs_input_grad[1]:  # without the part along each row, which the normalisation removes
                along = (grad * similarity).sum(0) / norms
                by_weight = (grad.T @ features).addcmul_(weight, along[:, None], value=-1)
        return by_features, by_weight


def similarity_to_rows(features: Tensor, weight: Tensor) -> Tensor:
    """(B, D), (N, D) -> (B, N): features times the L2-normalised rows of ``weight``."""
    similarity: Tensor = _SimilarityToUnitRows.apply(features, weight)
    return similarity


class ProxyClassifier(nn.Module):
    """L_GID: classifier over all N proxies, rows normalised, no bias (docs/method.md (9); paper, Sec. III-D).

    It learns from detached features with its own optimizer and never changes the encoder.
    :class:`~ccafl_plugin.losses.ical.ICALLoss` reads its weight. Unlike the memories, it is kept from epoch to epoch,
    and its weight belongs in the checkpoint.

    Args:
        num_proxies: N.
        dim: D, the dimension of the features.
        scale: factor from cosines to logits; 16 in the released settings.
        generator: source of the initial weight (Xavier-uniform); None takes torch's global one.
    """

    def __init__(
        self, num_proxies: int, dim: int, scale: float = SCALE, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if num_proxies < 1 or dim < 1:
            raise CCAFLError(f"ProxyClassifier needs at least one proxy and dimension, got {num_proxies} x {dim}.")
        self.scale = scale
        bound = math.sqrt(6 / (num_proxies + dim))
        self.weight = nn.Parameter(torch.empty(num_proxies, dim).uniform_(-bound, bound, generator=generator))

    @full_precision
    def forward(self, features: Tensor, proxies: Tensor) -> Tensor:
        """Cross-entropy of the batch over all proxies.

        Args:
            features: (B, D) float, unit rows; gets no gradient.
            proxies: (B,) int64 in [0, N), on any device.

        Returns:
            () float32 or wider, mean over the batch; for B = 0 a zero that still has a graph.
        """
        features, weight = widen(features.detach(), self.weight)
        proxies = proxies.to(features.device)
        loss = F.cross_entropy(self.scale * similarity_to_rows(features, weight), proxies, reduction="sum")
        return loss / max(proxies.numel(), 1)

    def learn(self, features: Tensor, proxies: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
        """Takes one step on a batch, before :class:`~ccafl_plugin.losses.ical.ICALLoss` is computed.

        Args:
            features: (B, D) float, unit rows; gets no gradient.
            proxies: (B,) int64 in [0, N), on any device.
            optimizer: it holds this classifier's parameters and no others.

        Returns:
            () float32 or wider, without a graph: the loss before the step.
        """
        loss: Tensor = self(features, proxies)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.detach()
