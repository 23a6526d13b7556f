"""The encoder's forward and backward pass: precision, and batches split into parts and among processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ccafl_plugin.engine.model_outputs import Outputs, split_outputs
from ccafl_plugin.engine.shared_gradients import SharedGradients, gathered
from ccafl_plugin.models.running_statistics import running_statistics_kept
from ccafl_plugin.utils.distributed import SMALLEST_SHARE, num_processes, own_images
from ccafl_plugin.utils.dtypes import no_autocast
from ccafl_plugin.utils.errors import WrongArgument, unknown_name
from ccafl_plugin.utils.seeds import RandomState

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Values of ``ccafl.precision`` -> the half-precision type of its mixed precision; None for none."""

SMALLEST_PART = 2
"""Images; batch norm needs two rows."""


def check_parts(batch_size: int, parts: int) -> None:
    """Checks that a batch, or each process's share of it, can be split into a number of equal parts.

    Raises:
        CCAFLError: the parts would not be equal, or smaller than two images.
    """
    if num_processes() > 1 and batch_size >= SMALLEST_SHARE * num_processes():
        batch_size //= num_processes()
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

    With one part and one process, this is a plain forward and backward pass. Otherwise the losses still see the whole
    batch: they are computed from outputs without a graph, and give gradients with respect to these outputs, which are
    then propagated through the model.

    *Parts.* Only the activations of one part are in memory at a time (Gao et al., "Scaling Deep Contrastive Learning
    Batch Size under Memory Limited Setup", 2021). First all parts run without a graph. Then every part runs again, with
    a graph and the same random draws, and propagates its share of the gradients. Part j of n has the images j, j + n,
    j + 2n ..., so every part has images of (nearly) every proxy. Running statistics change in the first run only.

    *Processes.* Process r of W encodes the images r, r + W, ... of the batch; all of them if there are fewer than two
    for each. Outputs are gathered in the batch's order, every process computes the same losses, and
    ``DistributedDataParallel`` averages the gradients of the weights, which are therefore propagated times W.

    The gradients are those of the whole batch, except that batch norms in training mode see the parts and, unless they
    are ``SyncBatchNorm``, the process's share.

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
        self.gradients = SharedGradients(model)
        self._first_run: _FirstRun | None = None

    def __str__(self) -> str:
        """One line for the log; empty for one part and one process."""
        world = num_processes()
        shared = f"is shared by {world} processes" if world > 1 else ""
        split = f"runs in {self.parts} parts" if self.parts > 1 else ""
        if not (shared or split):
            return ""
        norms = [module for module in self.model.modules() if isinstance(module, _BatchNorm)]
        joined = all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
        seen = "the parts" if split else "each process's share"
        if split and not joined:
            seen += " of each process" * (world > 1)
        says = bool(norms) and (bool(split) or not joined)
        words = " and ".join(filter(None, (shared, split)))
        return f"Every batch {words}" + says * f"; batch norms see {seen}, not the batch"

    def forward(self, images: Tensor, batch_size: int | None = None) -> Outputs:
        """The model's outputs for a batch, at least float32, the input of the losses.

        Args:
            images: (n, 3, height, width) on any device: this process's images of the batch, or all of them.
            batch_size: B; None: n.

        Returns:
            The outputs of all B images.
        """
        self._first_run = None
        batch_size = len(images) if batch_size is None else batch_size
        own = own_images(batch_size)
        if len(images) == batch_size:  # from a loader that does not know of processes
            images = images[own]
        images = self.transfer(images)
        smallest = batch_size if len(images) == batch_size else batch_size // num_processes()  # equal in all processes
        parts = min(self.parts, max(smallest // SMALLEST_PART, 1))
        if parts == 1 and num_processes() == 1:
            return self._encode(images)
        with autocast(images.device.type, self.dtype):
            self.gradients.wrap(images)
        pieces = [images[first::parts] for first in range(parts)]
        states: list[RandomState] = []
        if parts == 1:
            mine = self._encode(images)
        else:
            found = []
            with torch.no_grad():
                for piece in pieces:
                    states.append(RandomState(_devices_of(self.model, images.device)))
                    found.append(self._encode(piece, alone=True))
            mine = _over_parts(found, _interleave)
        whole = mine.map(Tensor.detach) if len(images) == batch_size else gathered(mine, batch_size)
        for tensor in whole.tensors():
            tensor.requires_grad_()
        factor = 1 if len(images) == batch_size else num_processes()
        self._first_run = _FirstRun(pieces, states, mine if parts == 1 else None, whole, own, factor)
        return whole

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss to those of the weights.

        Args:
            loss: () float, computed from the outputs of the last forward pass; equal in all processes.
        """
        loss.backward()
        run, self._first_run = self._first_run, None
        if run is None:
            return
        gradients = [None if cut.grad is None else cut.grad[run.own] * run.factor for cut in run.whole.tensors()]
        if run.outputs is not None:
            self.gradients.propagate(run.outputs.tensors(), gradients)
            return
        for part, (piece, state) in enumerate(zip(run.pieces, run.states, strict=True)):
            last = part + 1 == len(run.pieces)
            with self.gradients.waiting(until=last), state.replayed(), running_statistics_kept(self.model):
                again = self._encode(piece).tensors()
                own = [None if each is None else each[part :: len(run.pieces)] for each in gradients]
                self.gradients.propagate(again, own)

    def _encode(self, images: Tensor, alone: bool = False) -> Outputs:
        """``alone``: without the other processes, and so without a backward pass."""
        with autocast(images.device.type, self.dtype):
            if not alone:
                return self.gradients.encode(images)
            return split_outputs(self.model(images)).to_float32()


@dataclass
class _FirstRun:
    """What a backward pass needs of the forward pass.

    Attributes:
        pieces: the images of each part.
        states: the random state before each part's run.
        outputs: this process's outputs with their graph, if there is one part.
        whole: the outputs of the batch, from which the losses were computed.
        own: this process's rows of them.
        factor: of the gradients.
    """

    pieces: list[Tensor]
    states: list[RandomState]
    outputs: Outputs | None
    whole: Outputs
    own: slice
    factor: int


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
