"""The pictures of one camera by their numbers, out of a video or a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.data.image_records import natural_key
from ccafl_plugin.data.own_folder import ENDINGS
from ccafl_plugin.utils.errors import CCAFLError

VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".webm")
"""Endings of video files, in whatever case."""

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""


class MissingFrame(CCAFLError):
    """A frame that is asked for is not there; ``frame`` is its number, ``holds`` says what is there."""

    def __init__(self, frame: int, holds: str) -> None:
        super().__init__(f"frame {frame} is not there: {holds}.")
        self.frame, self.holds = frame, holds


def pictures_of(source: Path, frames: Sequence[int]) -> Iterator[tuple[int, Picture]]:
    """The pictures with these numbers, in rising order, one at a time.

    Args:
        source: a video, whose first picture has the number 1, or a folder of images: if the names of all end in
            numbers (``000017.jpg``), these are the frames', else they are counted from 1 in natural order.
        frames: numbers from 1.

    Raises:
        MissingFrame: there is no such frame.
        CCAFLError: a video that can't be decoded, or a folder without images.
    """
    wanted = sorted(set(frames))
    return _of_folder(source, wanted) if source.is_dir() else _of_video(source, wanted)


def frame_files(folder: Path) -> dict[int, Path]:
    """The image files of a folder by the number of their frame.

    Raises:
        CCAFLError: none, or two of one number.
    """
    files = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith(".")),
        key=lambda path: natural_key(path.name),
    )
    if not files:
        raise CCAFLError(f"{folder} holds no image ({', '.join(ENDINGS)}).")
    numbers = [re.search(r"([0-9]+)$", path.stem) for path in files]
    if not all(numbers):
        return dict(enumerate(files, start=1))
    found: dict[int, Path] = {}
    for number, path in zip(numbers, files, strict=True):
        assert number is not None
        if int(number[1]) in found:
            raise CCAFLError(f"{folder}: {found[int(number[1])].name} and {path.name} are both frame {int(number[1])}.")
        found[int(number[1])] = path
    return found


def _of_folder(folder: Path, frames: list[int]) -> Iterator[tuple[int, Picture]]:
    files = frame_files(folder)
    for frame in frames:
        if frame not in files:
            raise MissingFrame(frame, f"{folder} holds {len(files)} images, frames {min(files)} to {max(files)}")
        yield frame, np.asarray(read_image(files[frame]))


def _of_video(video: Path, frames: list[int]) -> Iterator[tuple[int, Picture]]:
    import cv2  # here: it takes 0.2 s, and most runs read no video

    capture = cv2.VideoCapture(str(video))
    try:
        if not capture.isOpened():
            raise CCAFLError(
                f"{video} can't be decoded as a video; convert it, e.g. ffmpeg -i IN -c:v libx264 OUT.mp4."
            )
        number = 0
        for frame in frames:
            picture = None
            while number < frame:
                number += 1
                # Frames in between are decoded, not sought: seeking is inexact in many formats.
                is_there, picture = capture.read() if number == frame else (capture.grab(), None)
                if not is_there:
                    if number == 1:
                        raise CCAFLError(
                            f"{video} has no picture that can be decoded; convert it, e.g. "
                            "ffmpeg -i IN -c:v libx264 OUT.mp4."
                        )
                    raise MissingFrame(frame, f"{video} has {number - 1} frames")
            assert picture is not None
            yield frame, np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)  # RGB
    finally:
        capture.release()
