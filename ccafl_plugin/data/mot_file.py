"""Tracks in the text format of MOT-challenge: frame, id, left, top, width, height, confidence, ... a line."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

from ccafl_plugin.data.image_records import Box
from ccafl_plugin.utils.errors import CCAFLError

PEDESTRIAN = 1
"""Class in MOT-challenge's ground truth (``gt.txt``), the only one that is read there."""


class TrackedBox(NamedTuple):
    """One line.

    Attributes:
        frame: from 1.
        track: its number.
        box: left, top, width and height in pixels.
        confidence: of the detector; -1 if it said nothing.
        row: number of the line in the file.
    """

    frame: int
    track: int
    box: Box
    confidence: float
    row: int


def read_mot_file(file: Path) -> tuple[list[TrackedBox], int]:
    """The boxes of one camera, sorted by frame and track.

    Cells are parted by commas or blanks. In a file named ``gt.txt`` lines that are not to be considered (7th cell 0)
    and other classes than pedestrians are left out, as the challenge does.

    Args:
        file: the text file.

    Returns:
        The boxes, and how many lines have the track -1, which belong to nobody and are left out.

    Raises:
        CCAFLError: names file and row, and says what is wrong there.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise CCAFLError(f"{file} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CCAFLError(f"{file} is not a text file (byte {error.start}).") from error
    boxes, nobody = [], 0
    first_row: dict[tuple[int, int], int] = {}
    for row, line in enumerate(lines, start=1):
        numbers = _numbers(file, row, line) if line.strip() else []
        if not numbers or _is_ignored(file, numbers):
            continue
        if numbers[1] == -1:
            nobody += 1
            continue
        box = _box(file, row, numbers)
        if (earlier := first_row.setdefault((box.frame, box.track), row)) != row:
            raise CCAFLError(
                f"{file}, row {row}: track {box.track} is in frame {box.frame} already, by row {earlier}; remove one."
            )
        boxes.append(box)
    if not boxes:
        kind = f"its {nobody} lines have the track -1: these are detections, run a tracker first" if nobody else "empty"
        raise CCAFLError(f"{file} has no track: {kind}.")
    return sorted(boxes), nobody


def _numbers(file: Path, row: int, line: str) -> list[float]:
    cells = [cell for cell in re.split(r"[,;\s]+", line.strip()) if cell]
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        numbers = []
    if len(numbers) < 6 or not all(map(math.isfinite, numbers[:6])):
        raise CCAFLError(
            f"{file}, row {row}: {line.strip()[:60]!r} is not 'frame, id, left, top, width, height, confidence'."
        )
    return numbers


def _is_ignored(file: Path, numbers: list[float]) -> bool:
    """True for lines of ground truth that are not to be considered."""
    return file.name == "gt.txt" and len(numbers) > 7 and (numbers[6] == 0 or numbers[7] != PEDESTRIAN)


def _box(file: Path, row: int, numbers: list[float]) -> TrackedBox:
    frame, track, x, y, w, h = numbers[:6]
    if frame < 1 or track < 0 or frame % 1 or track % 1:
        raise CCAFLError(
            f"{file}, row {row}: frame {frame:g}, track {track:g}; frames are whole numbers from 1, tracks from 0."
        )
    if w <= 0 or h <= 0:
        raise CCAFLError(f"{file}, row {row}: the box is {w:g} x {h:g} pixels; the 5th and 6th cell are its size.")
    confidence = numbers[6] if len(numbers) > 6 else -1
    return TrackedBox(int(frame), int(track), (x, y, w, h), confidence, row)
