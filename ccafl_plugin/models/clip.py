"""CLIP as a torchreid model: ``clip_rn50``, ``clip_vit_b16`` and ``clip_tiny``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.models.activation import GELU_KEY, activation_of, set_activation
from ccafl_plugin.models.image_tower import ImageTower
from ccafl_plugin.models.open_clip_models import build_parts, is_open_clip, takes_prompts
from ccafl_plugin.models.pooling import NeckBatchNorm
from ccafl_plugin.models.pretrained import load_pretrained
from ccafl_plugin.models.prompts import TextEncoder
from ccafl_plugin.models.towers import ResNetTower, ViTTower
from ccafl_plugin.utils.dtypes import at_least_float32
from ccafl_plugin.utils.errors import unknown_name

LOSSES = ("softmax", "triplet", "ccafl")
OPENAI_SIZE = 224
"""Side in pixels of the square images that OpenAI trained on."""

TINY = {
    "embed_dim": 128,
    "quick_gelu": True,
    "vision_cfg": {"image_size": OPENAI_SIZE, "layers": (1, 1, 2, 1), "width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}
"""A complete CLIP with 1.5 M parameters for images and 6.8 M for text (6.3 M of them are token embeddings)."""


@dataclass(frozen=True)
class Backbone:
    """The description of one CLIP model.

    Args:
        tower: class of the image tower.
        stride: pixels per position in OpenAI's own encoder; its positional embeddings are a grid of 224 / stride.
        openai_name: open_clip's name of the configuration that OpenAI's weights were trained with; None if OpenAI has
            no weights for the model.
        config: the model's configuration in open_clip's format; None: open_clip's own for ``openai_name``.
    """

    tower: type[ImageTower]
    stride: int
    openai_name: str | None = None
    config: dict[str, Any] | None = None

    def build(self, activation: str = "quick_gelu") -> nn.Module:
        """A randomly initialised ``open_clip.CLIP`` with this activation; it draws from torch's global random state."""
        import open_clip

        clip: nn.Module = open_clip.CLIP(**(self.config or open_clip.get_model_config(self.openai_name)))
        set_activation(clip, activation)
        return clip

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the positional embeddings in OpenAI's own encoder."""
        return OPENAI_SIZE // self.stride, OPENAI_SIZE // self.stride


BACKBONES: dict[str, Backbone] = {
    "clip_rn50": Backbone(ResNetTower, stride=32, openai_name="RN50-quickgelu"),
    "clip_vit_b16": Backbone(ViTTower, stride=16, openai_name="ViT-B-16-quickgelu"),
    "clip_tiny": Backbone(ResNetTower, stride=32, config=TINY),
}


class ClipReID(nn.Module):
    """A CLIP image encoder with a re-identification neck, which follows torchreid's model contract.

    In eval mode a call returns the normalised retrieval feature f. In training mode the output depends on ``loss``:

    ========== ===================================================================
    softmax    logits (B, num_classes)
    triplet    (logits, raw feature (B, D))
    ccafl      (raw feature (B, D), v (B, E), logits or None)
    ========== ===================================================================

    The raw feature is f before normalisation; v is CLIP's own image feature, comparable with text, not normalised. All
    are float32, also under autocast. With ``ccafl``, logits need :meth:`make_classifier`.

    The text encoder is an attribute, not a child module: ``parameters()``, ``state_dict()``, ``to()`` and ``train()``
    do not reach it, so no optimizer, complexity counter or checkpoint contains it.

    Args:
        name: the name that the model was built with, e.g. ``clip_rn50``.
        image_encoder: the image tower.
        text_encoder: the text encoder of the same CLIP; :class:`TextEncoder` if it can read prompts.
        num_classes: number of classes of the classifier, which only ``softmax`` and ``triplet`` have.
        loss: ``softmax``, ``triplet`` or ``ccafl``.

    Attributes:
        feature_dim: D; 2048 for RN50, 768 for ViT-B/16, 512 for clip_tiny.
        embedding_dim: E; 1024, 512, 128.
        classifier: linear, without bias, or None.

    Raises:
        CCAFLError: the loss is unknown.
    """

    is_ccafl_backbone = True
    text_encoder: Any  # a TextEncoder, or a WholeTextEncoder, which can't read prompts

    def __init__(
        self, name: str, image_encoder: ImageTower, text_encoder: nn.Module, num_classes: int, loss: str = "softmax"
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise unknown_name("loss", loss, LOSSES)
        self.name = name
        self.loss = loss
        self.image_encoder = image_encoder
        self.feature_dim = image_encoder.feature_dim
        self.embedding_dim = image_encoder.embedding_dim
        self.neck = NeckBatchNorm(self.feature_dim)
        self.classifier: nn.Linear | None = None
        if loss != "ccafl":
            self.make_classifier(num_classes)
        self.__dict__["text_encoder"] = text_encoder  # bypasses nn.Module, which would make it a child module

    def make_classifier(self, num_classes: int) -> None:
        """Creates a new classifier on the raw feature, with weights from N(0, 0.001 ** 2)."""
        self.classifier = nn.Linear(self.feature_dim, num_classes, bias=False).to(self.neck.weight.device)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, height, width) -> raw feature (B, D) and v (B, E), float32."""
        hidden = self.image_encoder(images)
        return self.neck(self.image_encoder.pool(hidden)), at_least_float32(self.image_encoder.embed(hidden))

    def image_embedding(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> v (B, E), float32: the image feature with which prompts are learned."""
        return at_least_float32(self.image_encoder.embed(self.image_encoder(images)))

    def joint_feature(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, D + E), float32: the feature before the neck, and v behind it."""
        hidden = self.image_encoder(images)
        parts = (self.image_encoder.pool(hidden), self.image_encoder.embed(hidden))
        return torch.cat([at_least_float32(part) for part in parts], dim=1)

    def compile_image_encoder(self, **options: Any) -> None:
        """Compiles the image encoder's stages with ``torch.compile`` from the next batch on; weights keep their names.

        Args:
            **options: of ``torch.compile``.
        """
        self.image_encoder.compile_stages(**options)

    def forward(self, images: Tensor, return_featuremaps: bool = False) -> Tensor | tuple[Tensor | None, ...]:
        """(B, 3, height, width) float -> see the class.

        With ``return_featuremaps``, which torchreid's ``visualize_actmap.py`` asks for, the result is (B, C, h, w)
        float32 in both modes: :meth:`~ccafl_plugin.models.image_tower.ImageTower.feature_maps`.
        """
        if return_featuremaps:
            return at_least_float32(self.image_encoder.feature_maps(images))
        if self.training and self.loss == "ccafl":
            raw, embedding = self.encode(images)
            return raw, embedding, None if self.classifier is None else self.classifier(raw).float()
        raw = self.neck(self.image_encoder.pool(self.image_encoder(images)))
        if not self.training:
            return F.normalize(raw, dim=1)
        if self.classifier is None:
            raise RuntimeError(f"{self.name} has no classifier")
        logits = self.classifier(raw).float()
        return logits if self.loss == "softmax" else (logits, raw)


def build_clip(
    name: str,
    num_classes: int,
    loss: str = "softmax",
    pretrained: bool = True,
    use_gpu: bool = True,  # noqa: ARG001
) -> ClipReID:
    """Builds a model by name, with the arguments that torchreid's ``build_model`` passes.

    The weight file and its activation, the input size, whether the ViT's patch projection is frozen, gradient
    checkpointing and the memory format come from ``ccafl_plugin.options``. Random parts are drawn from torch's global
    random state.

    Args:
        name: one of ``BACKBONES``, or ``open_clip/`` and open_clip's name.
        num_classes: as in :class:`ClipReID`.
        loss: as in :class:`ClipReID`.
        pretrained: load CLIP weights: ``options.clip_weights`` if that names a file, else OpenAI's through open_clip.
        use_gpu: part of torchreid's contract, but without effect; models are built on the CPU.

    Raises:
        CCAFLError: an unknown name or loss; weights that could not be loaded or do not match; an input size too small.
    """
    from ccafl_plugin.options import options

    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)  # checked before a download of minutes
    if is_open_clip(name):
        tower, text = build_parts(name, options.input_size, pretrained, options.clip_weights, options.clip_activation)
        return _finished(name, tower, text, num_classes, loss)
    if name not in BACKBONES:
        raise unknown_name("model.name", name, BACKBONES)
    backbone = BACKBONES[name]
    clip: Any = backbone.build(options.clip_activation or "quick_gelu")
    grid = backbone.grid
    if pretrained:
        grid = load_pretrained(clip, name, grid, backbone.openai_name, options.clip_weights, options.clip_activation)
    tower = backbone.tower(clip.visual, grid, options.input_size)
    return _finished(name, tower, TextEncoder(clip), num_classes, loss)


def _finished(name: str, tower: ImageTower, text: nn.Module, num_classes: int, loss: str) -> ClipReID:
    """The model of an image and a text encoder, with the options for the former."""
    from ccafl_plugin.options import options

    tower.channels_last = options.channels_last
    tower.gradient_checkpointing = options.gradient_checkpointing
    if options.freeze_patch_projection:
        tower.freeze_patch_projection()
    return ClipReID(name, tower, text, num_classes, loss)


def reads_prompts(name: str) -> bool:
    """Whether ``model.name`` has a text encoder that can read learnable prompts."""
    return name in BACKBONES or (is_open_clip(name) and takes_prompts(name))


def is_clip(name: str) -> bool:
    """Whether ``model.name`` is one of this package's: of ``BACKBONES``, or an encoder of open_clip."""
    return name in BACKBONES or is_open_clip(name)


def clip_state_dict(model: ClipReID) -> dict[str, Tensor]:
    """The tensors of the model's image and text encoder, in open_clip's naming; ``clip_weights`` can load them.

    The neck, GeM's exponent and the classifier do not belong to CLIP and are left out.
    """
    state = {**model.image_encoder.clip_state_dict(), **model.text_encoder.state_dict()}
    return state | ({GELU_KEY: torch.tensor(True)} if activation_of(model.text_encoder) == "gelu" else {})
