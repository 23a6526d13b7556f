"""Two iterations of every backbone in torchreid's factory, and the table of them in docs/backbones.md.

``python -m tests.engine.backbones`` prints the table's rows.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torchreid
from torch import nn

from ccafl_plugin.engine.model_outputs import try_out
from ccafl_plugin.integration.torchreid_names import model_names
from ccafl_plugin.models import BACKBONES
from ccafl_plugin.runs import results
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import write_pictures

DOCUMENT = Path(__file__).parents[2] / "docs" / "backbones.md"
SIZES = ((16, 8), (32, 16), (64, 32), (96, 48), (128, 64), (160, 64), (192, 96), (256, 128))
"""(height, width) in pixels that are tried, smallest first."""

ALL_BUT_TEXT = ("proxy_classifier", "icdl", "inter", "ical", "softmax", "triplet")


class Row(NamedTuple):
    """One line of the table."""

    name: str
    feature_dim: int
    height: int  # of the smallest of SIZES that the model takes
    width: int
    only: bool  # it takes no image of twice that height and width


def names() -> list[str]:
    """torchreid's own models."""
    return [name for name in model_names() if name not in BACKBONES]


def build(name: str) -> nn.Module:
    """A model as ``ImageCCAFLEngine`` takes it, with random weights."""
    return torchreid.models.build_model(name, num_classes=5, loss="triplet", pretrained=False, use_gpu=False)


def takes(model: nn.Module, height: int, width: int) -> bool:
    try:
        try_out(model, height, width)
    except CCAFLError:
        return False
    return True


def train(name: str, root: Path, height: int, width: int, *pairs: str) -> tuple[int, str]:
    """Every term that needs no text for two iterations of 4 x 2 images, then the test.

    Returns:
        The feature's length in the checkpoint, and what was printed.

    Raises:
        AssertionError: the run failed, or a term was not there.
    """
    enabled = [word for term in ALL_BUT_TEXT for word in (f"ccafl.terms.{term}.enabled", "True")]
    windows = [word for term in ("inter", "ical") for word in (f"ccafl.terms.{term}.first_epoch", "0")]
    output = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        code = main(
            [
                *["--root", str(root), "model.name", name, "model.pretrained", "False", "use_gpu", "False"],
                *["data.height", str(height), "data.width", str(width), "data.workers", "0", "data.save_dir", folder],
                *["sampler.train_sampler", "ProxySampler", "sampler.num_instances", "2", "train.batch_size", "8"],
                *["loss.name", "ccafl", "train.max_epoch", "1", "train.print_freq", "1", "ccafl.iters_per_epoch", "2"],
                *["ccafl.terms.alignment.enabled", "False", "ccafl.terms.icdl.weight_alignment", "0"],
                *[*enabled, *windows, *pairs],
            ]
        )
        printed = output.getvalue()
        assert code == 0, printed.splitlines()[-1]
        for term in ALL_BUT_TEXT:
            assert f"\t{term}/" in printed or f" {term}/" in printed, term
        assert 0 < results.read(folder)["scores"]["market1501"]["mAP"] <= 1
        manifest = json.loads((Path(folder) / "checkpoint-1.json").read_text())
    return manifest["architecture"]["feature_dim"], printed


def measure(name: str, root: Path, *pairs: str) -> Row:
    """A row by trying: the smallest size, then the training."""
    model = build(name)
    height, width = next(size for size in SIZES if takes(model, *size))
    only = not takes(model, 2 * height, 2 * width)
    del model
    feature_dim, _ = train(name, root, height, width, *pairs)
    return Row(name, feature_dim, height, width, only)


def as_line(row: Row) -> str:
    size = f"{row.height} x {row.width} only" if row.only else f"from {row.height} x {row.width}"
    return f"| {row.name} | {row.feature_dim} | {size} |"


def documented() -> dict[str, Row]:
    """The rows of docs/backbones.md."""
    return {row.name: row for row in _rows(DOCUMENT.read_text(encoding="utf-8").splitlines())}


def _rows(lines: Sequence[str]) -> Iterator[Row]:
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] in names():
            height, width = (int(word) for word in cells[2].split() if word.isdigit())
            yield Row(cells[0], int(cells[1]), height, width, cells[2].endswith("only"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        pictures = write_pictures(Path(place))
        for each in names():
            print(as_line(measure(each, pictures, *sys.argv[1:])), flush=True)
