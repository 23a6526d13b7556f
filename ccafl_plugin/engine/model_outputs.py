"""What a backbone gives in training: torchreid's models differ in it, terms see one form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.dtypes import at_least_float32
from ccafl_plugin.utils.errors import CCAFLError

USUAL_SIZES = ((256, 128), (160, 64), (384, 128), (128, 64), (299, 299))
"""(height, width) in pixels: what an error recommends is the first of these that the model takes."""

_NO_FEATURE = "The model gives no feature in training: build it with loss='ccafl' (clip_*) or loss='triplet'."


class Outputs(NamedTuple):
    """The outputs of a model in training mode, whatever its form.

    Attributes:
        raw: (B, D_i) floats, the feature as the model gives it; several if it has branches (HACNN).
        embeddings: (B, E) floats comparable with text; None without a text encoder.
        logits: (B, num_classes) floats of every classifier of the model's own; PCB has one per part.
    """

    raw: tuple[Tensor, ...]
    embeddings: Tensor | None
    logits: tuple[Tensor, ...]

    def to_float32(self) -> Outputs:
        """The same in float32; float64 stays."""
        embeddings = None if self.embeddings is None else at_least_float32(self.embeddings)
        return Outputs(tuple(map(at_least_float32, self.raw)), embeddings, tuple(map(at_least_float32, self.logits)))

    def tensors(self) -> list[Tensor]:
        """All of them in one list."""
        return [*self.raw, *self.logits, *([] if self.embeddings is None else [self.embeddings])]

    @property
    def features(self) -> Tensor:
        """(B, D) with unit rows; D is the sum of all D_i. Branches stand side by side, each with unit rows before.

        That is what torchreid's models with branches give in eval mode, so both are comparable.
        """
        joined = self.raw[0] if len(self.raw) == 1 else torch.cat([F.normalize(raw, dim=1) for raw in self.raw], 1)
        return F.normalize(joined, dim=1)


class Promise(NamedTuple):
    """What is known of a model's outputs before the first batch."""

    feature_dim: int
    has_logits: bool


def split_outputs(outputs: Any) -> Outputs:
    """The outputs of a model in training mode by their meaning.

    Args:
        outputs: (raw feature, embedding, logits or None) of a model built with loss ``ccafl``, or (logits, feature)
            of one built with ``triplet``, where either may be a list.

    Raises:
        CCAFLError: there is no feature among them.
    """
    if isinstance(outputs, (tuple, list)) and len(outputs) == 3 and isinstance(outputs[0], Tensor):
        return Outputs((outputs[0],), outputs[1], () if outputs[2] is None else (outputs[2],))
    if isinstance(outputs, (tuple, list)) and len(outputs) == 2:
        logits, raw = (tuple(part) if isinstance(part, (tuple, list)) else (part,) for part in outputs)
        return Outputs(raw, None, logits)
    raise CCAFLError(_NO_FEATURE)


def promised_outputs(model: nn.Module, height: int, width: int) -> Promise:
    """Length of the retrieval feature, and whether there are logits. The plugin's own models say so; others are tried.

    (What torchreid's models call ``feature_dim`` is missing in thirteen of them and another length in PCB.)

    Args:
        model: in a parallel wrapper or not.
        height: of the images, in pixels.
        width: of the images, in pixels.

    Raises:
        CCAFLError: the model is built with another loss, or takes no images of this size.
    """
    backbone: Any = unwrap(model)
    if getattr(backbone, "loss", None) == "softmax":
        raise CCAFLError(_NO_FEATURE)  # HACNN's two logits would look like logits and a feature
    if getattr(backbone, "is_ccafl_backbone", False):
        return Promise(backbone.feature_dim, backbone.classifier is not None)
    outputs = split_outputs(try_out(backbone, height, width))
    return Promise(outputs.features.shape[1], bool(outputs.logits))


def try_out(model: nn.Module, height: int, width: int, name: str = "") -> Any:
    """Runs a model in training mode on two black images; leaves it, and the random state, as they were.

    Args:
        model: in a parallel wrapper or not.
        height: of the images, in pixels.
        width: of the images, in pixels.
        name: what errors call the model; empty: its class.

    Returns:
        Its outputs, without a graph.

    Raises:
        CCAFLError: the model takes no images of this size; the message has the model's own words and a size it takes.
    """
    backbone = unwrap(model)
    try:
        return _forward(backbone, height, width)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        fitting = next((size for size in USUAL_SIZES if _takes(backbone, *size)), None)
        remedy = (
            f"set data.height {fitting[0]} data.width {fitting[1]}"
            if fitting
            else f"nor of any usual size ({', '.join(f'{h} x {w}' for h, w in USUAL_SIZES)})"
        )
        raise CCAFLError(
            f"data.height, data.width: {name or type(backbone).__name__} takes no images of {height} x {width} pixels "
            f"({reason}); {remedy}."
        ) from error


def _takes(model: nn.Module, height: int, width: int) -> bool:
    try:
        _forward(model, height, width)
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True


def _forward(model: nn.Module, height: int, width: int) -> Any:
    device = next(model.parameters()).device
    images = torch.zeros(2, 3, height, width, device=device)
    # Batch norms count into copies, dropout draws from a copy of the random state.
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with (
        _in_training_mode(model),
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.no_grad(),
    ):
        return functional_call(model, statistics, (images,))


@contextmanager
def _in_training_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
