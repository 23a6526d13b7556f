"""Batch norms whose statistics were folded into the layers before them, as programs that export a model do.

Such a batch norm has mean 0, variance 1 (some programs: 1 - eps) and weight 1; only its bias is its own. In eval mode
the model is the one that was exported. In training mode it is another one, because batch norms then normalise what is
normalised already: its features change at once, and the first iterations destroy what the weights know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

ENOUGH_IMAGES = 2048
"""Images that give the statistics: a channel of the first layers is seen a million times, one of the last 2048."""


def are_folded(model: nn.Module) -> bool:
    """Whether most batch norms of a model are folded; False for a model without any, and for one of random weights.

    Args:
        model: with its weights.
    """
    folded = _folded_norms(model)
    all_norms = sum(isinstance(module, _BatchNorm) for module in model.modules())
    return 2 * len(folded) > all_norms and any(bool(norm.bias.any()) for norm, _, _ in folded)


@torch.no_grad()
def restore(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives folded batch norms the statistics of images, in place. In eval mode the model's features stay the same.

    A norm's mean and variance become those of its inputs; weight and bias take the change back.

    Args:
        model: a model that :func:`are_folded` accepts; it is left in eval mode. Its other batch norms stay as they are.
        batches: images, (B, 3, H, W) float each, that go through the model in eval mode.
    """
    norms = _folded_norms(model)
    sums = {norm: _Sums(norm.num_features) for norm, _, _ in norms}
    hooks = [norm.register_forward_pre_hook(lambda of, inputs: sums[of].add(inputs[0])) for norm in sums]
    device = next(model.parameters()).device
    model.eval()
    try:
        for images in batches:
            model(images.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    for norm, running_mean, running_variance in norms:
        if not sums[norm].count:  # no part of a forward pass
            continue
        mean, variance = (each.to(norm.weight) for each in sums[norm].mean_and_variance())
        scale = norm.weight / (running_variance + norm.eps).sqrt()
        norm.bias.add_((mean - running_mean) * scale)
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        running_mean.copy_(mean)
        running_variance.copy_(variance)


def _folded_norms(model: nn.Module) -> list[tuple[_BatchNorm, Tensor, Tensor]]:
    """Batch norms that only add their bias, with their running statistics: mean and variance, (D,) each.

    One without a bias, as CLIP's neck here, could not take the change of its mean back, nor could one that shares its
    tensors with another norm.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    users = Counter(id(tensor) for norm in norms for tensor in (norm.weight, norm.bias))
    found = []
    for module in norms:
        if module.affine and module.bias is not None and users[id(module.weight)] == users[id(module.bias)] == 1:
            mean, variance = module.running_mean, module.running_var
            if mean is not None and variance is not None and _is_neutral(module, mean, variance):
                found.append((module, mean, variance))
    return found


def _is_neutral(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> bool:
    """Whether a norm's scale is 1 but for eps; a variance of 1 - eps makes it 1 exactly."""
    alike = [bool((each - 1).abs().max() <= 2 * norm.eps) for each in (norm.weight, variance)]
    return all(alike) and not bool(mean.any())


class _Sums:
    """Sums of a norm's inputs by channel, (D,) float64 on the CPU.

    Args:
        channels: number D.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.total = torch.zeros(channels, dtype=torch.float64)
        self.squares = torch.zeros(channels, dtype=torch.float64)

    def add(self, inputs: Tensor) -> None:
        """Adds a batch, (B, D) or (B, D, ...)."""
        dims = [dim for dim in range(inputs.ndim) if dim != 1]
        count = inputs.numel() // inputs.shape[1]
        variance, mean = (each.double().cpu() for each in torch.var_mean(inputs.float(), dims, correction=0))
        self.count += count
        self.total += count * mean
        self.squares += count * (variance + mean.square())

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        return mean, (self.squares / self.count - mean.square()).clamp_min(0)
