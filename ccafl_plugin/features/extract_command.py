"""The command that makes features of the images in a folder, for ``tools/extract.py`` and ``ccafl-extract``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ccafl_plugin.features.batch_extractor import BATCH_SIZE
from ccafl_plugin.features.extractor import open_extractor
from ccafl_plugin.features.feature_set import INDEX_SUFFIXES, SUFFIX
from ccafl_plugin.features.image_list import list_images
from ccafl_plugin.features.resumable import PART, extract_images, remove_parts
from ccafl_plugin.utils.commands import exit_code
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import check_writable, written_line

NAMED = 10
"""Broken images that are named one by one."""


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(description="Features of all images in a folder, into one file.")
    made.add_argument("folder", help="with the images in it or below it")
    made.add_argument(
        "--weights", required=True, metavar="FILE", help="that describes itself, a run's folder, or clip_tiny"
    )
    made.add_argument("--out", default="features.safetensors", metavar="FILE", help="(default: %(default)s)")
    made.add_argument(
        "--pattern",
        default="",
        help="how files are named, such as '{camera}/{id}_*.jpg'; 'tree': a folder per camera, in it one per id",
    )
    made.add_argument("--table", default="", metavar="CSV", help="one row per image: path, id, camera, ...")
    made.add_argument("--tracks", action="store_true", help="the folder holds videos or frames, with MOT files")
    made.add_argument("--fps", type=float, default=0.0, metavar="N", help="frames in a second: gives times from frames")
    made.add_argument("--feature", default="", metavar="KIND", help="retrieval, or embedding to search by text")
    made.add_argument("--index", default="json", choices=tuple(INDEX_SUFFIXES), help="(default: %(default)s)")
    made.add_argument("--device", default="", help="such as cuda (default: the GPU if there is one)")
    made.add_argument("--batch-size", type=int, default=BATCH_SIZE, metavar="N", help="(default: %(default)s)")
    made.add_argument("--part", type=int, default=PART, metavar="N", help="images kept together (default: %(default)s)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about what is wrong."""
    given = parser().parse_args(argv)
    try:
        return exit_code(run, given)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130


def run(given: argparse.Namespace) -> None:
    """Does what the arguments say.

    Raises:
        CCAFLError: an argument is out of range, images or weights can't be read, or the file can't be written.
    """
    if given.part < 1:
        raise CCAFLError(f"--part: {given.part} images can't be kept together; expected is a number from 1.")
    base = Path(given.out.removesuffix(SUFFIX)).expanduser()
    out, parts = base.with_name(base.name + SUFFIX), base.with_name(base.name + ".parts")
    check_writable(out)
    images = list_images(given.folder, given.pattern, given.table, given.tracks, given.fps)
    for note in images.notes:
        print(note)
    chosen = {"device": given.device, "batch_size": given.batch_size, "feature": given.feature}
    extractor = open_extractor(given.weights, **{name: value for name, value in chosen.items() if value != ""})
    made = extract_images(extractor, images, parts, given.part)
    files = made.features.save(out, given.index)
    remove_parts(parts)
    if made.kept:
        print(f"{made.kept} of {len(images)} images had their features from an earlier, stopped run")
    for problem in list(made.broken.values())[:NAMED]:
        print(f"left out: {problem}")
    if len(made.broken) > NAMED:
        print(f"left out: {len(made.broken) - NAMED} more")
    known = ", ".join(name for name in made.features.columns if name != "path") or "nothing but paths"
    count, dim = made.features.features.shape
    print(f"{count} features of {dim} numbers; {len(made.broken)} images could not be read; known of each: {known}")
    print(written_line(out.parent, [file.name for file in files]))
