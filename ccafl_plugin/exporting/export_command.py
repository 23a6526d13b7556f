"""``ccafl-export``: a file of weights becomes files that other programs run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ccafl_plugin.exporting import boxmot
from ccafl_plugin.exporting.export import Written, export_model
from ccafl_plugin.exporting.feature_graph import INPUT_FORMS
from ccafl_plugin.models.described_model import build_described
from ccafl_plugin.models.named_weights import file_of_weights, folder_beside, read_weights_file
from ccafl_plugin.utils.commands import print_error
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import written_line

MORE = {
    "fp16": "also an ONNX file in float16",
    "int8": "also an ONNX file in int8; name images with --images to calibrate it",
    "pt2": "also a file of torch.export",
}
"""Files beside the ONNX file in float32, and what the help says of them."""
POOR_COSINE = 0.99
"""Below it, a line says that the narrow type costs something."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0; 1 if the model can't be exported; 2 for wrong arguments.
    """
    given = parser().parse_args(argv)
    try:
        path = file_of_weights(given.weights)
        content = read_weights_file(path)
    except CCAFLError as error:
        return _fail(error, 2)
    kinds = ["onnx", *(kind for kind in MORE if getattr(given, kind))]
    form, name = given.input or "pixels", given.name or path.name.removesuffix(".safetensors")
    if given.tracker:
        form, name = boxmot.INPUT_FORM, given.name or boxmot.NAME
    folder = Path(given.out).expanduser() if given.out else folder_beside(given.weights)
    try:
        model = build_described(content, path)
        written = export_model(
            model, content.description, folder / name, kinds, form, given.images, digest_of_file(path)
        )
    except CCAFLError as error:
        return _fail(error, 1)
    for line in report(written):
        print(line)
    if given.tracker:
        described = content.description
        for doubt in boxmot.doubts(name, described.height, described.width):
            print(f"note: {doubt}")
    print(written_line(folder, [each.file.name for each in written]))
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(
        prog="ccafl-export",
        description="Export a file of weights to ONNX or torch.export, and compare what was written with the model.",
    )
    made.add_argument("weights", metavar="WEIGHTS", help="a file that describes itself, a run's folder, or clip_tiny")
    made.add_argument("--out", default="", metavar="FOLDER", help="of the files (default: that of the weights)")
    made.add_argument("--name", default="", metavar="NAME", help="of the files, without ending")
    for kind, text in MORE.items():
        made.add_argument(f"--{kind}", action="store_true", help=text)
    made.add_argument(
        "--images",
        default="",
        metavar="FOLDER",
        help="images like those to come; int8 is calibrated on them, and all files are compared on them",
    )
    how = made.add_mutually_exclusive_group()
    how.add_argument(
        "--input",
        choices=INPUT_FORMS,
        help="what the caller does with pixels in [0, 1]: nothing, the model's normalisation, or ImageNet's "
        "(default: pixels)",
    )
    how.add_argument("--for", dest="tracker", choices=["boxmot"], help="input and file name as this tracker wants them")
    return made


def report(written: Sequence[Written]) -> list[str]:
    """A line per file, and one where a narrow type costs something."""
    lines = [str(each) for each in written]
    for each in written:
        if each.closeness is not None and each.closeness.least_cosine < POOR_COSINE:
            lines.append(
                f"warning: {each.file.name}: some features change much; measure your own scores before you use it, "
                "and name images like yours with --images"
            )
    return lines


def _fail(error: CCAFLError, code: int) -> int:
    print_error(error)
    return code


if __name__ == "__main__":
    sys.exit(main())
