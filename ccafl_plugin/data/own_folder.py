"""Images in a folder whose names say who and where: by a pattern, or a folder per camera and in it one per id."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ccafl_plugin.data.image_records import GALLERY, QUERY, SPLITS, TRAIN, Record
from ccafl_plugin.data.name_pattern import KEY, NamePattern
from ccafl_plugin.own_settings import PRODUCTS
from ccafl_plugin.utils.errors import CCAFLError, unknown_name

TREE = "{camera}/{id}/**"
"""The pattern of a folder per camera and in it a folder per id; taken where none is given."""

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Of image files, in whatever case."""

SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "bounding_box_train": TRAIN,
    "query": QUERY,
    "gallery": GALLERY,
    "test": GALLERY,
    "bounding_box_test": GALLERY,
}
"""What a part of the data may be called."""


def read_folder(root: Path, pattern: str = "") -> tuple[list[Record], list[str]]:
    """The images below a folder.

    Args:
        root: the folder.
        pattern: see :class:`~ccafl_plugin.data.name_pattern.NamePattern`; empty: :data:`TREE`.

    Returns:
        A record of each image that fits the pattern, sorted by path, and the images that do not fit, below the root.

    Raises:
        CCAFLError: no image, none that fits, or an unknown split.
    """
    wanted = NamePattern.parse(pattern or TREE)
    files = sorted(image_files(root))
    if not files:
        raise CCAFLError(f"data.root: {root} holds no image ({', '.join(ENDINGS)}), nor does any folder below it.")
    found = wanted.match_all(files)
    if not found:
        remedy = "" if pattern else f"; without {KEY} a folder per camera with a folder per id in it is expected"
        raise CCAFLError(
            f"{KEY}: {wanted.text!r} fits none of {len(files)} images below {root}: {wanted.nearest(files)}{remedy}."
        )
    records = []
    for file, parts in found.items():
        frame = parts.get("frame")
        if frame is not None and not frame.isdigit():
            raise CCAFLError(f"{KEY}: in {file!r} the part {{frame}} is {frame!r}, not a number.")
        records.append(
            Record(
                path=str(root / file),
                id=parts["id"],
                camera=parts.get("camera") or "",
                split=split_of(parts.get("split") or "train", f"{KEY}: in {file!r} the part {{split}}"),
                frame=None if frame is None else int(frame),
                origin=file,
            )
        )
    return records, [file for file in files if file not in found]


def split_of(name: str, where: str) -> str:
    """The part of the data that a name means.

    Raises:
        CCAFLError: none.
    """
    if name.strip().casefold() not in SPLIT_NAMES:
        raise unknown_name(where, name, SPLITS)
    return SPLIT_NAMES[name.strip().casefold()]


def image_files(root: Path) -> Iterator[str]:
    """Paths below a folder, with ``/``, of all files that are named like images; hidden ones are left out.

    Linked folders are read, each once.
    """
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise CCAFLError(f"data.root: {error.filename} can't be read: {error.strerror}.") from error

    for folder, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != PRODUCTS)
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in files:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield name if below == "." else f"{below}/{name}"
