"""A feature graph becomes an ONNX file: float32, or float16 where the method's own mixed precision has float16."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.exporting.feature_graph import FeatureGraph
from ccafl_plugin.features.onnx_file import INPUT, OUTPUT, open_session, require
from ccafl_plugin.utils.errors import CCAFLError

OPSET = 17
"""Of the graph: LayerNormalization is one operator, and every onnxruntime since 1.13 reads it."""
BATCH = "batch"
"""Name of the dimension that may have any size."""

NEEDS_FLOAT32 = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)
"""ONNX wants the input and the weights of these in one type, and the weights are float32."""


def write_onnx(graph: FeatureGraph, path: Path, half: bool = False) -> None:
    """Writes the graph with a batch of any size.

    torch's exporter by tracing is tried first: it is quick, and its files are the smallest. Where it fails, fixes the
    size of the batch, or this torch has it no more, the newer one by ``torch.export`` is tried, which needs onnxscript.

    Args:
        graph: on the CPU.
        path: the file.
        half: convolutions and products of matrices in float16, with float16 weights, as in mixed-precision training;
            pooling, norms and whatever the model keeps in float32 stay there, and so do input and output.

    Raises:
        CCAFLError: neither can export the model, in one line with the reason.
    """
    require("onnx")
    size = (graph.description.height, graph.description.width)
    example = torch.rand(2, 3, *size)
    failures = []
    for exporter in (_by_tracing, _by_torch_export):
        try:
            with _quiet(), _as_for_export(graph, half):
                exporter(graph, example, path)
            _finish(path, graph.description.feature_dim, half)
            session = open_session(path)
            for batch in (1, 3):  # tracing may have fixed the example's batch of 2
                (found,) = session.run([OUTPUT], {INPUT: torch.rand(batch, 3, *size).numpy()})
                if len(found) != batch:
                    raise RuntimeError("the size of its batch is fixed")
            return
        except Exception as error:  # exporters raise errors of many kinds
            failures.append(" ".join(str(error).split())[:160] or type(error).__name__)
    raise CCAFLError(
        f"{graph.description.model} can't be exported to ONNX: {failures[0]} (and by torch.export: {failures[1]})"
    )


def add_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Writes entries into a file's metadata; those of the same name are replaced."""
    onnx = require("onnx")
    model = onnx.load(str(path))
    kept = {entry.key: entry.value for entry in model.metadata_props} | dict(metadata)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept)
    model.producer_name = "ccafl_plugin"
    onnx.save(model, str(path))


def _finish(path: Path, feature_dim: int, half: bool) -> None:
    """States D, which the exporter loses where it can't follow a shape, and which readers such as TensorRT want.

    Raises:
        RuntimeError: float16 was asked for, and no weight is.
    """
    onnx = require("onnx")
    model = onnx.load(str(path))
    if half and all(weight.data_type != onnx.TensorProto.FLOAT16 for weight in model.graph.initializer):
        raise RuntimeError("this torch has no float16 on the CPU; update it")
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = feature_dim
    onnx.save(model, str(path))


def _by_tracing(graph: FeatureGraph, example: Tensor, path: Path) -> None:
    chosen: dict[str, Any] = {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        chosen["dynamo"] = False
    torch.onnx.export(
        graph,
        (example,),
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
        opset_version=OPSET,
        **chosen,
    )


def _by_torch_export(graph: FeatureGraph, example: Tensor, path: Path) -> None:
    require("onnxscript")
    torch.onnx.export(
        graph,
        (example,),
        str(path),
        dynamo=True,
        external_data=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={"images": {0: torch.export.Dim(BATCH)}},
        verbose=False,
    )


@contextlib.contextmanager
def _as_for_export(graph: nn.Module, half: bool) -> Iterator[None]:
    """No gradients, no fused attention, which ONNX doesn't have, and float16 if asked for."""
    hooks = []
    attention: Any = getattr(torch.backends, "mha", None)  # not in the oldest torch
    fast_path = attention is not None and attention.get_fastpath_enabled()
    if fast_path:
        attention.set_fastpath_enabled(False)
    try:
        if half:
            norms = [module for module in graph.modules() if isinstance(module, NEEDS_FLOAT32)]
            hooks = [norm.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),)) for norm in norms]
        # Without the cache, each weight is cast where it is used, and folded there into a float16 constant.
        with torch.no_grad(), torch.autocast("cpu", torch.float16, enabled=half, cache_enabled=False):
            yield
    finally:
        for hook in hooks:
            hook.remove()
        if fast_path:
            attention.set_fastpath_enabled(True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters print graphs and warn of their own future; errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
