"""Builds the model that a described file of weights names, with its weights."""

from __future__ import annotations

import torch
import torchreid
from torch import nn

from ccafl_plugin.models.activation import activation_of
from ccafl_plugin.models.trained_weights import load_state
from ccafl_plugin.models.weights_description import DescribedWeights
from ccafl_plugin.options import options
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError


def build_described(weights: DescribedWeights, source: object) -> nn.Module:
    """A model with the weights of a file, on the CPU, in eval mode; torch's random state stays as it is.

    A CLIP's text encoder is kept only if the file holds it: otherwise there would be a random one.

    Args:
        weights: what the file holds.
        source: the file's name, for messages.

    Raises:
        CCAFLError: torchreid knows no model of this name, or the tensors are of another one.
    """
    described = weights.description
    size = (described.height, described.width)
    try:
        with (
            torch.random.fork_rng([]),
            options.override(input_size=size, clip_activation=described.activation, clip_weights=""),
        ):
            model: nn.Module = torchreid.models.build_model(described.model, 1, pretrained=False, use_gpu=False)
    except KeyError as error:
        raise CCAFLError(
            f"{source}: its model {described.model!r} is none that torchreid or ccafl_plugin knows. Register it with "
            "torchreid first."
        ) from error
    load_state(model, weights.state, f"{source}: its tensors are not those of {described.model}")
    if getattr(model, "is_ccafl_backbone", False):
        if weights.text:
            text: nn.Module = model.text_encoder  # type: ignore[assignment]
            load_state(text, weights.text, f"{source}: its text encoder is not that of {described.model}")
        else:
            del model.__dict__["text_encoder"]
    return model.eval()


def activation_in(model: nn.Module) -> str:
    """``quick_gelu`` or ``gelu`` of a CLIP's transformers; empty for a model without CLIP's.

    Args:
        model: any model, also inside ``nn.DataParallel``.
    """
    target = unwrap(model)
    if not getattr(target, "is_ccafl_backbone", False):
        return ""
    text = getattr(target, "text_encoder", None)
    of_images = activation_of(target.get_submodule("image_encoder"))  # a ResNet has none
    return of_images or ("" if text is None else activation_of(text))
