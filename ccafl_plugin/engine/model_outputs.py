"""Brings the training outputs of all backbones into one form for terms; torchreid's models have different forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
"""(height, width) in pixels; an error recommends the first of these that the model accepts."""

_NO_FEATURE = "The model returns no feature in training. Build it with loss='ccafl' (clip_*) or loss='triplet'."


class Outputs(NamedTuple):
    """The outputs of a model in training mode, whatever its form.

    Attributes:
        raw: (B, D_i) floats, the features as the model returns them; one per branch (HACNN).
        embeddings: (B, E) floats comparable with text; None without a text encoder.
        logits: (B, num_classes) floats of each classifier in the model; PCB has one per part.
    """

    raw: tuple[Tensor, ...]
    embeddings: Tensor | None
    logits: tuple[Tensor, ...]

    def to_float32(self) -> Outputs:
        """The same in float32; float64 is unchanged."""
        return self.map(at_least_float32)

    def of(self, rows: Tensor) -> Outputs:
        """The outputs of some images of the batch; ``rows``: (n,) int64, on the outputs' device."""
        return self.map(lambda tensor: tensor[rows])

    def map(self, function: Callable[[Tensor], Tensor]) -> Outputs:
        """``function`` of every tensor."""
        embeddings = None if self.embeddings is None else function(self.embeddings)
        return Outputs(tuple(map(function, self.raw)), embeddings, tuple(map(function, self.logits)))

    def tensors(self) -> list[Tensor]:
        """All tensors in one list."""
        return [*self.raw, *self.logits, *([] if self.embeddings is None else [self.embeddings])]

    def replaced(self, tensors: Sequence[Tensor]) -> Outputs:
        """Outputs of the same form, from a list in the order of :meth:`tensors`."""
        raw, logits = len(self.raw), len(self.raw) + len(self.logits)
        embeddings = None if self.embeddings is None else tensors[logits]
        return Outputs(tuple(tensors[:raw]), embeddings, tuple(tensors[raw:logits]))

    @property
    def features(self) -> Tensor:
        """(B, D) with unit rows; D is the sum of all D_i. Branches are normalised and then concatenated.

        torchreid's models with branches do the same in eval mode, so both are comparable.
        """
        joined = self.raw[0] if len(self.raw) == 1 else torch.cat([F.normalize(raw, dim=1) for raw in self.raw], 1)
        return F.normalize(joined, dim=1)


class Promise(NamedTuple):
    """Facts about a model's outputs before the first batch."""

    feature_dim: int
    has_logits: bool


def split_outputs(outputs: Any) -> Outputs:
    """Sorts the outputs of a model in training mode by their meaning.

    Args:
        outputs: (raw feature, embedding, logits or None) of a model built with loss ``ccafl``, or (logits, feature)
            of a model built with ``triplet``; each of the two may be a list.

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
    """Length of the retrieval feature, and whether there are logits. The plugin's models state it; others are run once.

    (torchreid's attribute ``feature_dim`` is missing in thirteen of its models and is another length in PCB.)

    Args:
        model: in a parallel wrapper or not.
        height: of the images, in pixels.
        width: of the images, in pixels.

    Raises:
        CCAFLError: the model was built with another loss, or does not accept images of this size.
    """
    backbone: Any = unwrap(model)
    if getattr(backbone, "loss", None) == "softmax":
        raise CCAFLError(_NO_FEATURE)  # HACNN's two logits could be mistaken for logits and a feature
    if getattr(backbone, "is_ccafl_backbone", False):
        return Promise(backbone.feature_dim, backbone.classifier is not None)
    outputs = split_outputs(try_out(backbone, height, width))
    return Promise(outputs.features.shape[1], bool(outputs.logits))


def try_out(model: nn.Module, height: int, width: int, name: str = "") -> Any:
    """Runs a model in training mode on two black images; the model and the random state do not change.

    Args:
        model: in a parallel wrapper or not.
        height: of the images, in pixels.
        width: of the images, in pixels.
        name: name of the model in errors; empty: its class.

    Returns:
        Its outputs, without a graph.

    Raises:
        CCAFLError: the model does not accept this size; the message quotes its error and names a size that it accepts.
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
            f"Set data.height {fitting[0]} data.width {fitting[1]}"
            if fitting
            else f"It accepts none of the usual sizes ({', '.join(f'{h} x {w}' for h, w in USUAL_SIZES)})"
        )
        raise CCAFLError(
            f"data.height, data.width: {name or type(backbone).__name__} does not accept images of {height} x {width} "
            f"pixels ({reason}). {remedy}."
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
    # Batch norms update copies of their statistics, and dropout draws from a copy of the random state.
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
