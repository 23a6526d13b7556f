"""ONNX files that describe themselves: what stands in their metadata, and how they are opened with onnxruntime."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ccafl_plugin.models.weights_description import Channels, WeightsDescription
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.file_kinds import not_a_file

FORMAT_KEY, FORMAT = "ccafl_onnx", "1"
"""Of the metadata: the number of this format."""
INPUT, OUTPUT = "images", "features"
"""Names of the graph's input and output."""
PRECISIONS = ("float32", "float16", "int8")
HOW_TO_INSTALL = 'pip install "ccafl_plugin[export]"'


@dataclass(frozen=True)
class OnnxDescription:
    """What has to be known of an ONNX file so that its features come out right.

    The graph takes ``images``, (batch, 3, height, width) float32 in RGB: pixels in [0, 1], from which ``input_mean``
    has been subtracted and which have been divided by ``input_std``. Whatever else the model needs is inside. It gives
    ``features``, (batch, feature_dim) float32, rows of length 1.

    Attributes:
        weights: what the exported weights say of themselves.
        input_mean: of red, green and blue; three zeros where normalisation is inside the graph.
        input_std: of red, green and blue; three ones where normalisation is inside the graph.
        precision: ``float32``, ``float16`` or ``int8``, in which most of it is computed.
        source: sha256 of the weights file, in hexadecimal digits; empty if there was none.
    """

    weights: WeightsDescription
    input_mean: Channels
    input_std: Channels
    precision: str = "float32"
    source: str = ""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)

    def to_metadata(self) -> dict[str, str]:
        """All of it as text, with what other programs want to know; :meth:`from_metadata` is the way back."""
        inside = self.input_mean == (0, 0, 0) and self.input_std == (1, 1, 1)
        return {
            **self.weights.to_metadata(),
            FORMAT_KEY: FORMAT,
            "input_layout": "NCHW",
            "input_colour_order": "RGB",
            "input_range": "0 to 1, then minus input_mean, divided by input_std",
            "input_mean": json.dumps(list(self.input_mean)),
            "input_std": json.dumps(list(self.input_std)),
            "normalisation": "inside the graph" if inside else "input_mean and input_std, by the caller",
            "output_norm": "l2",
            "precision": self.precision,
            "source_sha256": self.source,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: object) -> OnnxDescription:
        """Reads what :meth:`to_metadata` wrote.

        Args:
            metadata: of a file.
            source: the file's name, for messages.

        Raises:
            CCAFLError: the file does not describe itself, or an entry is missing or can't be.
        """
        if (found := metadata.get(FORMAT_KEY)) is None:
            raise CCAFLError(
                f"{source} does not say which input it takes. Give its description, or export it with tools/export.py."
            )
        if found != FORMAT:
            raise CCAFLError(f"{source} is of format {found}, and this version reads {FORMAT}. Update ccafl_plugin.")
        weights = WeightsDescription.from_metadata(metadata, source)
        try:
            mean, std = (tuple(map(float, json.loads(metadata[name]))) for name in ("input_mean", "input_std"))
            if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
                raise ValueError
            return cls(weights, mean, std, metadata.get("precision", ""), metadata.get("source_sha256", ""))
        except CCAFLError as error:
            raise CCAFLError(f"{source}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise CCAFLError(f"{source}: the description's input_mean or input_std is wrong.") from error


def open_session(path: str | Path, device: torch.device | None = None) -> Any:
    """An ``onnxruntime.InferenceSession`` with as many threads as torch has.

    Args:
        path: the file.
        device: where it runs; None: the CPU.

    Raises:
        CCAFLError: there is no such file, it is no ONNX file, onnxruntime is missing, or it can't use the device.
    """
    runtime: Any = require("onnxruntime")
    file = Path(path).expanduser()
    if (found := not_a_file(file)) is not None:
        raise CCAFLError(f"weights: can't read {str(path)!r}: {found}.")
    kind = "cpu" if device is None else device.type
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind)
    if provider not in runtime.get_available_providers():
        raise CCAFLError(f"device: this onnxruntime can't use {kind}; install onnxruntime-gpu, or say device cpu.")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 4  # errors are raised, so they need not be logged too
    try:
        return runtime.InferenceSession(str(file), settings, providers=[provider])
    except Exception as error:  # onnxruntime's own classes share no base but Exception
        reason = " ".join(str(error).split())[:200]
        raise CCAFLError(f"weights: {str(path)!r} can't be read as ONNX: {reason}") from error


def require(name: str) -> Any:
    """An optional package.

    Raises:
        CCAFLError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise CCAFLError(f"ONNX files need {package}: {HOW_TO_INSTALL}.") from error
