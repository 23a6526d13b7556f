"""Splits a model's parameters into optimizer groups: biases have their own learning rate, frozen ones are left out."""

from __future__ import annotations

from typing import Any

from torch import nn

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.paper_values import BIAS_LR_FACTOR


def is_bias(name: str) -> bool:
    """True if a parameter with this name (from ``named_parameters``) is a bias; ``in_proj_bias`` is one too."""
    return name.rpartition(".")[2].endswith("bias")


def parameter_groups(model: nn.Module, lr: float, bias_lr_factor: float = BIAS_LR_FACTOR) -> list[dict[str, Any]]:
    """Splits a model's trainable parameters into two optimizer groups: biases, then weights.

    Weights come last, because torchreid reports the last group's rate as *the* learning rate.

    Args:
        model: parameters with ``requires_grad=False`` are left out.
        lr: learning rate of the weights.
        bias_lr_factor: learning rate of the biases as a multiple of ``lr``; 2 in the paper's experiments.

    Returns:
        One or two groups, without empty ones, each with ``params``, ``lr`` and ``name``.

    Raises:
        CCAFLError: the model has no trainable parameter.
    """
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not trainable:
        raise CCAFLError("build_optimizer: the model has no trainable parameter. Unfreeze some of its layers.")
    biases = [parameter for name, parameter in trainable if is_bias(name)]
    weights = [parameter for name, parameter in trainable if not is_bias(name)]
    groups = [
        {"params": biases, "lr": lr * bias_lr_factor, "name": "biases"},
        {"params": weights, "lr": lr, "name": "weights"},
    ]
    return [group for group in groups if group["params"]]
