"""Exports a model to files that other programs run, each compared with the model before it is put in its place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.exporting.agreement import (
    BATCHES,
    TOLERANCE,
    Closeness,
    Run,
    closeness,
    inputs_of,
    largest_difference,
    pictures_in,
    random_pictures,
)
from ccafl_plugin.exporting.feature_graph import FeatureGraph
from ccafl_plugin.exporting.int8_graph import write_int8
from ccafl_plugin.exporting.onnx_graph import add_metadata, write_onnx
from ccafl_plugin.exporting.torch_program import write_program
from ccafl_plugin.features.onnx_file import INPUT, OnnxDescription, open_session
from ccafl_plugin.models.weights_description import WeightsDescription
from ccafl_plugin.utils.errors import CCAFLError, unknown_name

KINDS = ("onnx", "fp16", "int8", "pt2")
"""Files that can be written: ONNX in float32, float16 and int8, and ``torch.export``'s."""
ENDINGS = {"onnx": ".onnx", "fp16": ".fp16.onnx", "int8": ".int8.onnx", "pt2": ".pt2"}
MOST_PICTURES = 128
"""Images of a folder that are read, for calibration and comparison."""


@dataclass(frozen=True)
class Written:
    """A file, and how far its features are from the model's.

    Attributes:
        file: its path.
        difference: the largest difference of a number of a feature, at all of :data:`~.agreement.BATCHES`.
        closeness: of float16 and int8; None: float32.
    """

    file: Path
    difference: float
    closeness: Closeness | None = None

    def __str__(self) -> str:
        start = f"{self.file.name}: {self.file.stat().st_size / 1e6:.1f} MB"
        if self.closeness is not None:
            return f"{start}, {self.closeness}"
        sizes = ", ".join(map(str, BATCHES))
        return f"{start}, largest difference to torch {self.difference:.1g} at batches of {sizes}"


def export_model(
    model: nn.Module,
    description: WeightsDescription,
    out: Path,
    kinds: Sequence[str] = ("onnx",),
    input_form: str = "pixels",
    images: str = "",
    source: str = "",
) -> list[Written]:
    """Writes a model's files.

    Args:
        model: on the CPU, in eval mode.
        description: of its weights.
        out: the files' path without ending; its folder is made if needed. Existing files are replaced.
        kinds: of :data:`KINDS`.
        input_form: what the caller will have done with the pixels, see :mod:`~.feature_graph`.
        images: folder of images like those to come: int8 is calibrated on them, and what is written is compared on
            them; empty: random pictures, and int8 without calibration.
        source: sha256 of the weights file; empty: there is none.

    Returns:
        One entry per file, in the order of ``kinds``.

    Raises:
        CCAFLError: the model can't be exported, float32 features differ by more than 1e-4, numbers are not finite, or
            a file can't be written. Nothing is written then.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown_name("kinds", kind, KINDS)
    graph = FeatureGraph(model, description, input_form)
    pictures = pictures_in(images, description, MOST_PICTURES) if images else None
    some = random_pictures(max(BATCHES), description.height, description.width) if pictures is None else pictures
    inputs = inputs_of(some, graph.input_mean, graph.input_std, max(max(BATCHES), len(some)))
    try:
        with torch.no_grad():
            reference = torch.cat([graph(part) for part in inputs.split(max(BATCHES))])
        if reference.shape[1] != description.feature_dim:
            raise CCAFLError(
                f"{description.model} gives {reference.shape[1]} numbers for an image, but its description says "
                f"{description.feature_dim}; describe it rightly."
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
            work = _Work(graph, Path(folder), inputs, reference, None if pictures is None else inputs, source)
            found = [(work.make(kind), out.with_name(out.name + ENDINGS[kind])) for kind in kinds]
            for written, file in found:
                os.replace(written.file, file)
    except OSError as error:
        raise CCAFLError(f"{out.parent} can't be written: {error.strerror or error}. Name another folder.") from error
    return [Written(file, written.difference, written.closeness) for written, file in found]


@dataclass
class _Work:
    """What the files of one export share."""

    graph: FeatureGraph
    folder: Path
    inputs: Tensor
    reference: Tensor
    calibration: Tensor | None
    source: str

    def make(self, kind: str) -> Written:
        file = self.folder / f"model{ENDINGS[kind]}"
        if kind == "pt2":
            write_program(self.graph, file, self._metadata("float32"))
            program: Any = torch.export.load(file).module()
            return self._compared(file, program, narrow=False)
        precision = {"onnx": "float32", "fp16": "float16", "int8": "int8"}[kind]
        if kind == "int8":
            wide = self.folder / "wide.onnx"
            write_onnx(self.graph, wide)
            write_int8(wide, file, self.calibration)
            wide.unlink()
        else:
            write_onnx(self.graph, file, half=kind == "fp16")
        add_metadata(file, self._metadata(precision))
        session = open_session(file)
        return self._compared(
            file, lambda x: torch.from_numpy(session.run(None, {INPUT: x.numpy()})[0]), narrow=kind != "onnx"
        )

    def _metadata(self, precision: str) -> dict[str, str]:
        graph = self.graph
        described = OnnxDescription(graph.description, graph.input_mean, graph.input_std, precision, self.source)
        return described.to_metadata()

    def _compared(self, file: Path, run: Run, narrow: bool) -> Written:
        with torch.no_grad():
            difference = largest_difference(self.reference, run, self.inputs)
            if difference == float("inf"):
                raise CCAFLError(f"{file.name.removeprefix('model.')}: its features are not finite numbers.")
            if narrow:
                step = max(BATCHES)
                rows = torch.cat([run(part) for part in self.inputs.split(step)])
                return Written(file, difference, closeness(self.reference, rows))
        if difference > TOLERANCE:
            raise CCAFLError(
                f"{file.name.removeprefix('model.')}: features of {self.graph.description.model} differ from torch's "
                f"by {difference:.1g}, more than {TOLERANCE:g}; nothing is written."
            )
        return Written(file, difference)
