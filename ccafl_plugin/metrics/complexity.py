"""Size and work of what retrieval needs of a model, by torch's own counter."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Complexity(NamedTuple):
    """Of one image on the way to its retrieval feature."""

    parameters: int  # that the feature depends on; no classifier, no text encoder
    multiply_adds: int  # what model zoos call FLOPs: one multiplication with its addition counts once


def _plain_attention() -> AbstractContextManager[Any]:
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # before torch 2.3
        return nullcontext()
    return sdpa_kernel(SDPBackend.MATH)


def retrieval_complexity(model: nn.Module, height: int, width: int) -> Complexity:
    """Counts parameters and multiply-adds of a model in eval mode.

    torchreid's ``compute_model_complexity`` knows convolutions and linear layers by their modules and misses attention;
    torch's counter sees the operators themselves. Element-wise work (norms, activations) counts in neither.

    Args:
        model: gives (B, D) features in eval mode; is left in the mode, with the gradients, in which it was.
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
        # With gradients and plain attention: fused operators are not in the counter's list.
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
