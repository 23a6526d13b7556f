"""An ONNX file with weights and products in int8, by onnxruntime's quantisation."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.features.onnx_file import INPUT, require
from ccafl_plugin.utils.errors import CCAFLError

CALIBRATION_BATCH = 8


def write_int8(source: Path, path: Path, calibration: Tensor | None = None) -> None:
    """Quantises a float32 file.

    With images, ranges of activations are measured on them (static quantisation); without, they are found anew for
    each batch (dynamic), which is slower for convolutions. Weights are quantised per output channel.

    Args:
        source: the float32 file.
        path: the file to write.
        calibration: (n, 3, H, W) inputs of the graph that look like those to come; None: none.

    Raises:
        CCAFLError: onnxruntime can't quantise the graph, in one line with the reason.
    """
    quantization: Any = require("onnxruntime.quantization")
    shapes: Any = require("onnxruntime.quantization.shape_inference")
    try:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            prepared = str(Path(folder) / "prepared.onnx")
            shapes.quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
            kinds = {"weight_type": quantization.QuantType.QInt8, "per_channel": True}
            if calibration is None:
                quantization.quantize_dynamic(prepared, str(path), **kinds)
            else:
                reader = _calibration_reader(quantization.CalibrationDataReader, calibration)
                form = quantization.QuantFormat.QDQ
                quantization.quantize_static(prepared, str(path), reader, quant_format=form, **kinds)
    except Exception as error:  # errors of many kinds
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CCAFLError(f"{source.name} can't be quantised to int8: {reason}") from error


def _calibration_reader(base: Any, images: Tensor) -> Any:
    class Reader(base):
        """Batches by the name of the graph's input, then None."""

        def __init__(self) -> None:
            self.batches: Iterator[Tensor] = iter(images.split(CALIBRATION_BATCH))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.numpy()}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime logs advice that has been followed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
