"""Builds the model that a described file of weights names, with its weights."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchreid
from torch import Tensor, nn

from ccafl_plugin.models.activation import activation_of
from ccafl_plugin.models.trained_weights import load_state
from ccafl_plugin.models.weights_description import DescribedWeights
from ccafl_plugin.options import options
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.dtypes import at_least_float32
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


def encode(model: nn.Module, feature: str, images: Tensor) -> Tensor:
    """(B, 3, height, width) float -> (B, D): one kind of feature, as the model gives it.

    Args:
        model: in eval mode; one of the plugin's for any feature but ``retrieval``.
        feature: one of ``weights_description.FEATURES``.
        images: normalised as the model wants them.
    """
    of_clip: Any = model
    if feature == "embedding":
        features: Tensor = of_clip.image_embedding(images)
    elif feature == "joint":
        features = of_clip.joint_feature(images)
    else:
        features = model(images)
    return features


class FeatureModel(nn.Module):
    """A model that gives one kind of feature, with rows of length 1.

    Args:
        model: in eval mode; one of the plugin's for any feature but ``retrieval``.
        feature: one of ``weights_description.FEATURES``.
    """

    def __init__(self, model: nn.Module, feature: str) -> None:
        super().__init__()
        self.model = model
        self.feature = feature

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) float -> (B, D), float32."""
        return F.normalize(at_least_float32(encode(self.model, self.feature, images)), dim=1)


def feature_dims(model: Any) -> dict[str, int]:
    """Feature -> its length, of those that one of the plugin's models has."""
    of_neck, of_text = model.feature_dim, model.embedding_dim
    return {"retrieval": of_neck, "embedding": of_text, "joint": of_neck + of_text}


@torch.no_grad()
def feature_dim_of(model: nn.Module, height: int, width: int) -> int:
    """D of a model's retrieval feature; the plugin's models say it, others are run once, in eval mode.

    Args:
        model: any model, not in a parallel wrapper; it stays as it is.
        height: of its input, in pixels.
        width: of its input, in pixels.
    """
    if getattr(model, "is_ccafl_backbone", False):
        return feature_dims(model)["retrieval"]
    training = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    dim = model.eval()(torch.zeros(1, 3, height, width, device=device)).shape[1]
    for module, mode in training:
        module.training = mode
    return int(dim)


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
