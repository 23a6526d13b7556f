"""Copies of small datasets of which one thing is changed."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from PIL import Image

SPLITS = ("bounding_box_train", "query", "bounding_box_test")


def copy_of(root: Path, target: Path) -> Path:
    """A copy of a data root; files are linked, so they may be replaced but not written into."""
    shutil.copytree(root, target, copy_function=os.link)
    return target


def base_of(root: Path) -> Path:
    """The dataset's own folder: the one that holds the splits or lists."""
    for folder, names, files in os.walk(root):
        if "query" in names or "list_query.txt" in files:
            return Path(folder)
    raise FileNotFoundError(root)


def first_image(folder: Path) -> Path:
    """One that is read: no junk."""
    return min(file for file in folder.glob("*.jpg") if not file.name.startswith("-1_"))


def put(folder: Path, name: str) -> str:
    """One more image by this name."""
    os.link(first_image(folder), folder / name)
    return name


def replace(file: Path, content: bytes) -> str:
    """Another content for a file."""
    file.unlink()
    file.write_bytes(content)
    return file.name


def cut_off(file: Path) -> str:
    return replace(file, file.read_bytes()[:-200])


def saved_as(form: str, end: int | None = None) -> Callable[[Path], str]:
    """The picture in another format under its old name, as a whole or cut off."""

    def change(file: Path) -> str:
        with Image.open(file) as image:
            picture = image.convert("RGB")
        file.unlink()
        picture.save(file, form)
        return file.name if end is None else replace(file, file.read_bytes()[:end])

    return change


def instead(make: Callable[[Path], object]) -> Callable[[Path], str]:
    """Something else than a file in its place."""

    def change(file: Path) -> str:
        file.unlink()
        make(file)
        return file.name

    return change


def tiff_of_floats(*values: float) -> bytes:
    """A TIFF of one row of 32-bit floats."""
    import io

    import numpy as np

    buffer = io.BytesIO()
    Image.fromarray(np.array([values], np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


BROKEN: dict[str, Callable[[Path], str]] = {
    "cut off": cut_off,
    "empty": lambda file: replace(file, b""),
    "a web page": lambda file: replace(file, b"<!doctype html><title>404</title>"),
    "a text": lambda file: replace(file, b"see the other disk"),
    "a pointer of Git LFS": lambda file: replace(file, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "half a PNG": saved_as("PNG", 60),
    "half a TIFF": saved_as("TIFF", 100),
    "PostScript": saved_as("EPS"),
    "an icon": saved_as("ICO"),
    "a link to nothing": instead(lambda file: file.symlink_to("nowhere.jpg")),
    "a folder": instead(Path.mkdir),
    "a pipe": instead(os.mkfifo),
    "floats below 0": lambda file: replace(file, tiff_of_floats(-1.0, 0.5)),
    "floats that are none": lambda file: replace(file, tiff_of_floats(0.0, float("nan"))),
    "floats of no known range": lambda file: replace(file, tiff_of_floats(0.0, 1e9)),
    "a JPEG of zeros": lambda file: replace(file, b"\xff\xd8\xff" + bytes(300)),
    "a WebP of nothing": lambda file: replace(file, b"RIFF" + struct.pack("<I", 100) + b"WEBP" + bytes(20)),
}
"""What an image file may be in place of an image; each gives the file's name."""
