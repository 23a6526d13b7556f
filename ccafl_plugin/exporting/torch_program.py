"""A feature graph becomes a file of ``torch.export`` (.pt2), which runs without this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from ccafl_plugin.exporting.feature_graph import FeatureGraph
from ccafl_plugin.utils.errors import CCAFLError

DESCRIPTION = "description.json"
"""Extra file in the archive, with the entries that an ONNX file has as metadata."""


def write_program(graph: FeatureGraph, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the graph with a batch of any size.

    Args:
        graph: on the CPU.
        path: the file; its name must end in .pt2.
        metadata: goes into the archive as :data:`DESCRIPTION`.

    Raises:
        CCAFLError: torch can't export the model, in one line with the reason.
    """
    example = torch.rand(2, 3, graph.description.height, graph.description.width)
    try:
        with torch.no_grad():
            program = torch.export.export(
                graph, (example,), dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}}
            )
        torch.export.save(program, path, extra_files={DESCRIPTION: json.dumps(dict(metadata))})
    except Exception as error:  # errors of many kinds
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CCAFLError(f"{graph.description.model} can't be exported by torch.export: {reason}") from error
