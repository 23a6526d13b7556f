"""Parameters and multiply-adds of the part of a model that computes the retrieval feature, by torch's own counter."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Complexity(NamedTuple):
    """Complexity of computing the retrieval feature of one image."""

    parameters: int  # parameters on which the feature depends; without classifier and text encoder
    multiply_adds: int  # called FLOPs in model zoos: a multiplication with its addition counts once


def _plain_attention() -> AbstractContextManager[Any]:
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # before torch 2.3
        return nullcontext()
    return sdpa_kernel(SDPBackend.MATH)


def retrieval_complexity(model: nn.Module, height: int, width: int) -> Complexity:
    """Counts parameters and multiply-adds of a model in eval mode.

    torchreid's ``compute_model_complexity`` counts convolution and linear modules and misses attention; torch's counter
    counts operators. Neither counts element-wise work (norms, activations).

    Args:
        model: returns (B, D) features in eval mode; its mode and its trainable parameters do not change.
        height: of the images, in pixels.
        width: of the images, in pixels.
    """
    was_training = model.training
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    first = next(model.parameters())
    model.eval()
    try:
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        image = torch.rand(1, 3, height, width, device=first.device, dtype=first.dtype)
        # Gradients and plain attention are enabled, because the counter does not know fused operators.
        with torch.enable_grad(), _plain_attention(), FlopCounterMode(display=False) as counter:
            feature = model(image)
        multiply_adds = counter.get_total_flops() // 2
        gradients = torch.autograd.grad(feature.sum(), list(model.parameters()), allow_unused=True)
    finally:
        model.train(was_training)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trained[name])
    used = sum(
        parameter.numel() for parameter, gradient in zip(model.parameters(), gradients, strict=True)
        if gradient is not None
    )  # fmt: skip
    return Complexity(used, multiply_adds)
