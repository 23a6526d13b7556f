"""The encoder's forward and backward pass: precision, and batches split into parts that fit into memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ccafl_plugin.engine.model_outputs import Outputs, split_outputs
from ccafl_plugin.models.running_statistics import running_statistics_kept
from ccafl_plugin.utils.dtypes import no_autocast
from ccafl_plugin.utils.errors import WrongArgument, unknown_name
from ccafl_plugin.utils.seeds import RandomState

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Values of ``ccafl.precision`` -> the half-precision type of its mixed precision; None for none."""

SMALLEST_PART = 2
"""Images; batch norm needs two rows."""


def check_parts(batch_size: int, parts: int) -> None:
    """Checks that a batch can be split into a number of equal parts.

    Raises:
        CCAFLError: the parts would not be equal, or smaller than two images.
    """
    if parts > 1 and (batch_size % parts or batch_size // parts < SMALLEST_PART):
        fitting = [n for n in range(1, max(batch_size // SMALLEST_PART, 1) + 1) if batch_size % n == 0]
        raise WrongArgument(
            f"{{accumulation}}: a batch of {batch_size} ({{batch_size}}) cannot be split into {parts} equal parts "
            f"of at least {SMALLEST_PART} images. Choose one of {', '.join(map(str, fitting))}."
        )


def narrow_type(precision: str, device: torch.device, argument: str = "precision") -> torch.dtype | None:
    """The half-precision type of a mixed precision; None for none, and on every device except a GPU.

    Args:
        precision: one of ``PRECISIONS``.
        device: device of the model.
        argument: the argument that errors name.

    Raises:
        CCAFLError: the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise unknown_name(f"{{{argument}}}", precision, PRECISIONS)
    return PRECISIONS[precision] if device.type == "cuda" else None


def check_replicas(model: nn.Module, dtype: torch.dtype | None, argument: str = "precision") -> None:
    """Checks that all GPUs that share a batch compute in the requested precision.

    Raises:
        CCAFLError: bfloat16 on several GPUs. torch tells replicas that autocast is on, but not its type, so they would
            compute in float16 without a gradient scaler.
    """
    shared = isinstance(model, nn.DataParallel) and len(model.device_ids) > 1
    if shared and dtype is torch.bfloat16:
        raise WrongArgument(
            f"{{{argument}}}: nn.DataParallel cannot run bf16 on several GPUs. Set fp16 or fp32, or use one GPU "
            "(CUDA_VISIBLE_DEVICES=0)."
        )


def autocast(device_type: str, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Mixed precision with ``dtype``, or none for None."""
    return no_autocast(device_type) if dtype is None else torch.autocast(device_type=device_type, dtype=dtype)


def gradient_scaler(dtype: torch.dtype | None) -> Any:
    """A scaler that keeps small gradients above float16's smallest number; for other types it does nothing."""
    enabled = dtype is torch.float16
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", enabled=enabled)
    with warnings.catch_warnings():  # before torch 2.3 it is only in torch.cuda
        warnings.simplefilter("ignore")
        return torch.cuda.amp.GradScaler(enabled=enabled)


class ImageTransfer:
    """Copies images to a device; on a GPU the copy runs in parallel to queued work.

    Args:
        device: the target device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, images: Tensor) -> Tensor:
        """The images on the device; work queued from now on waits until the copy is complete."""
        if self._stream is None:
            return images.to(self.device, non_blocking=True)
        with torch.cuda.stream(self._stream):
            images = images.to(self.device, non_blocking=True)  # without a wait if the loader pins its memory
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._stream)
        images.record_stream(computing)  # their memory is freed only after the work that reads them is done
        return images


class EncoderPass:
    """Runs a model on batches and propagates the gradients of the losses back through it.

    With one part, this is a plain forward and backward pass. With several parts, only the activations of one part are
    in memory at a time, although the losses see the whole batch (Gao et al., "Scaling Deep Contrastive Learning Batch
    Size under Memory Limited Setup", 2021). First all parts run without a graph, and the losses give gradients with
    respect to the outputs. Then every part runs again, with a graph and the same random draws, and propagates its share
    of these gradients. The gradients are those of the whole batch, except that batch norms in training mode see the
    parts. Part j of n has the images j, j + n, j + 2n ..., so every part has images of (nearly) every proxy. Running
    statistics change in the first run only.

    Args:
        model: the model, in the mode in which it should run.
        dtype: half-precision type of mixed precision; None for none.
        parts: number of parts; a batch with fewer than twice as many images is split into fewer.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype | None = None, parts: int = 1) -> None:
        self.model = model
        self.dtype = dtype
        self.parts = parts
        parameter = next(model.parameters(), None)
        self.transfer = ImageTransfer(torch.device("cpu") if parameter is None else parameter.device)
        self._first_run: tuple[list[Tensor], list[RandomState], Outputs] | None = None

    def __str__(self) -> str:
        """One line for the log."""
        norms = any(isinstance(module, _BatchNorm) for module in self.model.modules())
        return f"Every batch runs in {self.parts} parts" + norms * "; batch norms see the parts, not the batch"

    def forward(self, images: Tensor) -> Outputs:
        """(B, 3, height, width) on any device -> the model's outputs, at least float32, the input of the losses."""
        self._first_run = None
        images = self.transfer(images)
        parts = min(self.parts, max(len(images) // SMALLEST_PART, 1))
        if parts == 1:
            return self._encode(images)
        pieces = [images[first::parts] for first in range(parts)]
        states, found = [], []
        with torch.no_grad():
            for piece in pieces:
                states.append(RandomState(_devices_of(self.model, images.device)))
                found.append(self._encode(piece))
        whole = _over_parts(found, _interleave)
        for tensor in whole.tensors():
            tensor.requires_grad_()
        self._first_run = pieces, states, whole
        return whole

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss to those of the weights.

        Args:
            loss: () float, computed from the outputs of the last forward pass.
        """
        loss.backward()
        if self._first_run is None:
            return
        pieces, states, whole = self._first_run
        self._first_run = None
        for part, (piece, state) in enumerate(zip(pieces, states, strict=True)):
            with state.replayed(), running_statistics_kept(self.model):
                again = self._encode(piece).tensors()
            pairs = [
                (output, cut.grad[part :: len(pieces)])
                for output, cut in zip(again, whole.tensors(), strict=True)
                if cut.grad is not None and output.requires_grad
            ]
            if pairs:
                torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])

    def _encode(self, images: Tensor) -> Outputs:
        with autocast(images.device.type, self.dtype):
            outputs = self.model(images)
        return split_outputs(outputs).to_float32()


def _over_parts(parts: Sequence[Outputs], join: Callable[[list[Tensor]], Tensor]) -> Outputs:
    """Combines the outputs of the parts to those of the whole batch."""
    first = parts[0]
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]  # all parts have them, or none
    return Outputs(
        tuple(join([part.raw[i] for part in parts]) for i in range(len(first.raw))),
        join(embeddings) if embeddings else None,
        tuple(join([part.logits[i] for part in parts]) for i in range(len(first.logits))),
    )


def _interleave(parts: list[Tensor]) -> Tensor:
    whole = parts[0].new_empty(sum(map(len, parts)), *parts[0].shape[1:])
    for first, part in enumerate(parts):
        whole[first :: len(parts)] = part
    return whole


def _devices_of(model: nn.Module, device: torch.device) -> list[torch.device]:
    """The GPUs on which a model runs."""
    if device.type != "cuda":
        return []
    return [torch.device("cuda", index) for index in getattr(model, "device_ids", None) or [device.index or 0]]
