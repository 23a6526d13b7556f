"""Gradients over several processes, by ``DistributedDataParallel``, and outputs that the processes gather."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ccafl_plugin.engine.model_outputs import Outputs, split_outputs
from ccafl_plugin.models.running_statistics import running_statistics_kept
from ccafl_plugin.utils.distributed import gather_rows, num_processes, unwrap


def gathered(own: Outputs, batch_size: int) -> Outputs:
    """The outputs of a batch from the processes' shares, in the batch's order, sent at once; without a graph."""
    tensors = own.tensors()
    whole = gather_rows(torch.cat([tensor.detach().flatten(1) for tensor in tensors], dim=1), batch_size)
    widths = [tensor[0].numel() for tensor in tensors]
    parts = zip(tensors, whole.split(widths, dim=1), strict=True)
    return own.replaced([part.reshape(batch_size, *old.shape[1:]).contiguous() for old, part in parts])


_parameters = inspect.signature(DistributedDataParallel).parameters
_NOTHING_SENT: dict[str, Any] = {  # torch before 2.14 has the third name only, some of its versions the first one
    name: False
    for name in ("init_sync", "forward_sync_buffers", "broadcast_buffers")
    if name in _parameters and not (name == "broadcast_buffers" and "forward_sync_buffers" in _parameters)
}


class SharedGradients:
    """Runs a model and propagates gradients of its outputs to its weights, averaged over the processes.

    The weights have the gradients that a single process would give them: a weight from which no output with a gradient
    comes (such as attention pooling, if no term reads text) has none, so the optimizer leaves it alone.

    Args:
        model: the model; with several processes, what is inside its wrappers is run.
    """

    def __init__(self, model: nn.Module) -> None:
        self.whole = model
        self._parallel: DistributedDataParallel | None = None
        self._inner = _Inner(unwrap(model))
        self._trained: list[int] = []

    def encode(self, images: Tensor) -> Outputs:
        """The model's outputs with a graph, at least float32; all processes call it at the same time."""
        if self._parallel is None:
            return split_outputs(self.whole(images)).to_float32()
        tensors = self._parallel(images)
        return self._inner.outputs[0].replaced(tensors)

    def wrap(self, images: Tensor) -> None:
        """Wraps the model for several processes, if other parameters are trained than before (``fixbase_epoch``).

        The run has sent the weights to all processes, so they are not sent again. Nor are buffers in every pass:
        running statistics are averaged at the end of an epoch.

        Args:
            images: (n, 3, height, width), of which two are tried out.
        """
        trained = [id(parameter) for parameter in self._inner.parameters() if parameter.requires_grad]
        if num_processes() == 1 or trained == self._trained:
            return
        self._parallel, self._trained = None, trained
        gc.collect()  # the old one's hooks go with it
        if trained:
            unused = self._has_unused(images[:2])
            self._parallel = DistributedDataParallel(self._inner, find_unused_parameters=unused, **_NOTHING_SENT)

    def _has_unused(self, images: Tensor) -> bool:
        """Whether no output comes from some trained parameter; torch's wrapper must look for it in every pass."""
        devices = [images.device] if images.is_cuda else []
        with running_statistics_kept(self._inner), torch.random.fork_rng(devices):
            outputs = self._inner(images)
        self._inner.outputs.clear()
        return bool(set(self._trained) - _parameters_behind(each for each in outputs if each.requires_grad))

    def waiting(self, until: bool) -> AbstractContextManager[Any]:
        """Context of a forward and backward pass; gradients are sent in it if ``until`` is true, else added up here."""
        return nullcontext() if until or self._parallel is None else self._parallel.no_sync()

    def propagate(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
        """Adds to the gradients of the weights.

        Args:
            outputs: the outputs of the last :meth:`encode`.
            gradients: of each output; None: no loss has read it.
        """
        inside = self._inner.outputs[0].tensors() if self._parallel is not None else list(outputs)
        self._inner.outputs.clear()
        triples = [each for each in zip(outputs, gradients, inside, strict=True) if each[0].requires_grad]
        pairs = [(output, gradient) for output, gradient, _ in triples if gradient is not None]
        if not pairs:
            return
        untouched: list[nn.Parameter] = []
        if self._parallel is not None and len(pairs) < len(triples):
            # DistributedDataParallel waits for a gradient of every parameter that an output comes from.
            reached = _parameters_behind(own for _, gradient, own in triples if gradient is not None)
            missed = _parameters_behind(own for _, gradient, own in triples if gradient is None) - reached
            untouched = [each for each in self._inner.parameters() if id(each) in missed]
            pairs += [(output, torch.zeros_like(output)) for output, gradient, _ in triples if gradient is None]
        torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])
        for parameter in untouched:
            parameter.grad = None


class _Inner(nn.Module):
    """A model that notes its outputs: behind torch's wrapper, every output seems to come from every parameter."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.outputs: list[Outputs] = []

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = split_outputs(self.model(images)).to_float32()
        self.outputs = [found]
        return tuple(found.tensors())


def _parameters_behind(outputs: Iterable[Tensor]) -> set[int]:
    """The ids of the leaves from which outputs were computed."""
    todo: list[Any] = [output.grad_fn for output in outputs]
    seen, found = set(todo), set()
    while todo:
        node = todo.pop()
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        following = {each for each, _ in node.next_functions if each is not None} - seen
        seen |= following
        todo += following
    return found
