"""The images of a folder with what is known of each: by the names of their files, a table, tracks, or nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccafl_plugin.data.image_records import Record, look_alike_notes
from ccafl_plugin.data.name_pattern import KEY, NamePattern
from ccafl_plugin.data.own_folder import ENDINGS, TREE, image_files
from ccafl_plugin.data.own_images import OwnImages, read_own_folder, read_own_tracks
from ccafl_plugin.own_settings import CropRules, OwnData
from ccafl_plugin.utils.errors import CCAFLError

LOOSER = "loosen the rules, e.g. ccafl.data.crops.least_height"
USED_BOXES = (
    f"boxes of at least {CropRules.least_height} x {CropRules.least_width} pixels, not hidden and not blurred, are used"
)
"""In the place of the remedy that names settings: the commands of features have none for boxes."""


@dataclass(frozen=True)
class ImageList:
    """Images and what is known of them.

    Attributes:
        columns: as of a :class:`~ccafl_plugin.features.feature_set.FeatureSet`; paths are absolute.
        notes: lines that say what was left out or looks wrong.
    """

    columns: dict[str, list[Any]]
    notes: list[str]

    @property
    def paths(self) -> list[str]:
        """Of the image files."""
        return self.columns["path"]

    def __len__(self) -> int:
        return len(self.paths)


def list_images(
    folder: str | Path, pattern: str = "", table: str = "", tracks: bool = False, fps: float = 0.0
) -> ImageList:
    """The images below a folder.

    Args:
        folder: with images in it or below it; hidden files are left out.
        pattern: names of the files below it (:class:`~ccafl_plugin.data.name_pattern.NamePattern`), which need not
            say an id here; ``tree`` for a folder per camera, in it one per id. Empty: nothing but paths is known.
        table: a CSV file in its place (:func:`~ccafl_plugin.data.own_table.read_table`), by its path or its path below
            the folder; boxes are cut out. Its column ``time`` is kept for rows without a box.
        tracks: the folder holds videos or frames and MOT files: crops are cut, ``track`` is what the tracker says.
        fps: frames in a second; given, an unknown ``time`` is the frame's number divided by it. 0: it stays unknown.

    Raises:
        CCAFLError: no image, none that fits, two of pattern, table and tracks, or what is wrong with the data.
    """
    if sum(map(bool, (pattern, table, tracks))) > 1:
        raise CCAFLError("--pattern, --table and --tracks say the same in three ways; name one of them.")
    if not 0 <= fps < math.inf:
        raise CCAFLError(f"--fps: {fps:g} frames in a second can't be; expected is a number above 0.")
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise CCAFLError(f"{folder} is no folder; name the one with the images.")
    if tracks:
        found = _in_command_words(read_own_tracks, root, OwnData(ids="per_camera"))
        listed = _of_records(found.records, found.notes, "track")
    elif table:
        found = _in_command_words(read_own_folder, root, OwnData(table=table))
        listed = _of_records(found.records, found.notes, "id")
    else:
        listed = _by_names(root, TREE if pattern == "tree" else pattern)
    frames = listed.columns.get("frame")
    if fps and frames is None:
        raise CCAFLError("--fps: nothing says the frame of an image; name it by {frame} in --pattern, or in a table.")
    if fps and frames is not None:
        times = listed.columns.get("time", [None] * len(frames))
        listed.columns["time"] = [
            frame / fps if time is None and frame is not None else time
            for time, frame in zip(times, frames, strict=True)
        ]
    return listed


def _by_names(root: Path, pattern: str) -> ImageList:
    files = sorted(image_files(root))
    if not files:
        raise CCAFLError(f"{root} holds no image ({', '.join(ENDINGS)}), nor does any folder below it.")
    if not pattern:
        notes = ["Nothing but the paths is known: --pattern, --table or --tracks say camera and id"]
        return ImageList({"path": [str(root / file) for file in files]}, notes)
    try:
        wanted = NamePattern.parse(pattern, needs_id=False)
    except CCAFLError as error:
        raise CCAFLError(str(error).replace(KEY, "--pattern")) from error
    found = wanted.match_all(files)
    if not found:
        raise CCAFLError(
            f"--pattern: {pattern!r} fits none of {len(files)} images below {root}: {wanted.nearest(files)}."
        )
    columns: dict[str, list[Any]] = {"path": [str(root / file) for file in found]}
    for name in ("camera", "id"):
        if name in wanted.names:
            columns[name] = [parts[name] or "" for parts in found.values()]
    if "frame" in wanted.names:
        columns["frame"] = [_frame(file, parts["frame"]) for file, parts in found.items()]
    others = [file for file in files if file not in found]
    notes = [f"{len(others)} images do not fit the pattern and are left out, e.g. {others[0]}"] if others else []
    named = zip(found, columns.get("id", ()), columns.get("camera", [""] * len(found)), strict=False)
    notes += look_alike_notes([Record(file, id, camera) for file, id, camera in named], ids_hold_across=False)
    return ImageList(columns, notes)


def _frame(file: str, text: str | None) -> int | None:
    if text is not None and not re.fullmatch(r"[0-9]+", text):
        raise CCAFLError(f"--pattern: in {file!r} the part {{frame}} is {text!r}, not a number.")
    return None if text is None else int(text)


def _of_records(records: Sequence[Record], notes: list[str], name: str) -> ImageList:
    """Each image once, in the order of its path; ``name`` is the column of the ids."""
    kept = sorted({record.path: record for record in records}.values(), key=lambda record: record.path)
    columns: dict[str, list[Any]] = {"path": [record.path for record in kept]}
    if any(record.camera for record in kept):
        columns["camera"] = [record.camera for record in kept]
    columns[name] = [record.id for record in kept]
    if any(record.frame is not None for record in kept):
        columns["frame"] = [record.frame for record in kept]
    if any(record.time is not None for record in kept):
        columns["time"] = [record.time for record in kept]
    return ImageList(columns, notes)


def _in_command_words(read: Callable[[Path, OwnData], OwnImages], root: Path, own: OwnData) -> OwnImages:
    """What is read; errors name the command's option in the place of the configuration's key."""
    try:
        return read(root, own)
    except CCAFLError as error:
        text = str(error).replace(LOOSER, USED_BOXES)
        words = {"ccafl.data.table": "--table", "data.root": "folder", "ccafl.data.crops": "boxes"}
        for key, word in words.items():
            text = text.replace(key, word)
        raise CCAFLError(text) from error
