"""Boxes become image files below the data root, once: in one piece or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from ccafl_plugin.data.crop_choice import clipped, covered_shares, sharp_enough, sharpness, spread
from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.data.image_records import Record
from ccafl_plugin.data.picture_source import VIDEOS, MissingFrame, Picture, pictures_of
from ccafl_plugin.own_settings import PRODUCTS, CropRules
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.progress import watched
from ccafl_plugin.utils.provenance import digest_of

VERSION = 1
"""Counts the changes of what is cut; old crops are not taken for new ones."""

INDEX, COUNTS = "crops.csv", "counts.json"
CANDIDATES = 3
"""Times ``most`` boxes of a track are cut; the sharp ones among them are kept."""


@dataclass
class CropCounts:
    """What became of the boxes. Each is counted once, but ``clipped`` ones are among the kept.

    Attributes:
        boxes: all there were.
        images: that were kept.
        clipped: kept ones that left the picture and were cut off at its edge.
        unsure, covered, outside, small, blurred: left out by the rules, ``outside`` for lying outside the picture.
        thinned: left out because their track has enough.
        tracks: people of cameras with images.
        empty_tracks: those of whom no box was left.
    """

    boxes: int = 0
    images: int = 0
    clipped: int = 0
    unsure: int = 0
    covered: int = 0
    outside: int = 0
    small: int = 0
    blurred: int = 0
    thinned: int = 0
    tracks: int = 0
    empty_tracks: int = 0

    def __str__(self) -> str:
        """One line."""
        words = {
            "thinned": "beyond the number per track",
            "covered": "behind others",
            "small": "small",
            "blurred": "blurred",
            "unsure": "unsure",
            "outside": "outside the picture",
        }
        left = ", ".join(f"{getattr(self, name)} {text}" for name, text in words.items() if getattr(self, name))
        line = f"{self.images} images of {self.tracks} tracks out of {self.boxes} boxes"
        line += f"; left out: {left}" if left else ""
        line += f"; {self.clipped} cut off at the picture's edge" if self.clipped else ""
        return line + (f"; {self.empty_tracks} tracks have no image left" if self.empty_tracks else "")


def cut(
    root: Path, records: Sequence[Record], rules: CropRules, confidences: Sequence[float] | None = None
) -> tuple[list[Record], CropCounts]:
    """Images of the records' boxes, cut now if they are not there yet.

    They are PNG files (nothing is lost) below ``root/ccafl-files``, with a table ``crops.csv``. Other boxes, pictures
    or rules make another folder.

    Args:
        root: the data root.
        records: each with a box; ``path`` is a picture, or a video or a folder of frames if there is a ``frame``.
        rules: which boxes become images.
        confidences: of the detector, -1 for none.

    Returns:
        A record of each image, sorted by path, and what became of the boxes.

    Raises:
        CCAFLError: a frame that is not there, a picture or video that can't be read, a folder that can't be written,
            or no image left.
    """
    folder = root / PRODUCTS / f"crops-{_digest(root, records, rules)}"
    if not (folder / INDEX).is_file():
        _write(folder, records, rules, confidences)
    return _read(folder)


def _digest(root: Path, records: Sequence[Record], rules: CropRules) -> str:
    sources = sorted({record.path for record in records})
    rows = [(os.path.relpath(r.path, root), r.id, r.camera, r.split, r.frame, r.box) for r in records]
    facts = {
        "version": VERSION,
        "rules": dataclasses.asdict(rules),
        "rows": digest_of(rows),
        "sources": [(os.path.relpath(source, root), *_stamp(Path(source))) for source in sources],
    }
    return digest_of(facts)


def _stamp(source: Path) -> tuple[int, int]:
    """Size and time of a file; number of files and latest time of a folder."""
    if source.is_dir():
        times = [file.stat().st_mtime_ns for file in source.iterdir()]
        return len(times), max(times, default=0)
    found = source.stat()
    return found.st_size, found.st_mtime_ns


def _write(folder: Path, records: Sequence[Record], rules: CropRules, confidences: Sequence[float] | None) -> None:
    print(f"Cutting images out of {len({record.path for record in records})} videos or pictures into {folder} ...")
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        counts = _cut_into(partial, records, rules, confidences or [-1.0] * len(records))
        (partial / COUNTS).write_text(json.dumps(dataclasses.asdict(counts), indent=1) + "\n", encoding="utf-8")
        partial.chmod(0o755)  # temporary folders are private
        try:
            os.rename(partial, folder)
        except OSError:
            if not (folder / INDEX).is_file():  # otherwise another process was faster, with the same images
                raise
    except OSError as error:
        raise CCAFLError(f"{folder} can't be written: {error.strerror or error}.") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _read(folder: Path) -> tuple[list[Record], CropCounts]:
    counts = CropCounts(**json.loads((folder / COUNTS).read_text(encoding="utf-8")))
    with open(folder / INDEX, encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    records = [
        Record(str(folder / row["path"]), row["id"], row["camera"], row["split"], int(row["frame"]), None, row["path"])
        for row in rows
    ]
    return sorted(records, key=lambda record: record.path), counts


@dataclass(frozen=True)
class _Candidate:
    """An image that has been cut: its file, how sharp it is, and whether its box left the picture."""

    file: Path
    sharpness: float
    leaves: bool


def _cut_into(folder: Path, records: Sequence[Record], rules: CropRules, confidences: Sequence[float]) -> CropCounts:
    counts = CropCounts(boxes=len(records))
    tracks: dict[tuple[str, str, str], list[int]] = {(r.camera, r.split, r.id): [] for r in records}
    for index in _choose_boxes(records, rules, confidences, counts):
        record = records[index]
        tracks[record.camera, record.split, record.id].append(index)
    candidates: list[int] = []
    for members in tracks.values():
        members.sort(key=lambda index: (records[index].frame or 0, index))
        chosen = spread(members, CANDIDATES * rules.most)
        counts.thinned += len(members) - len(chosen)
        candidates += chosen
    cut_ones = {
        index: candidate
        for index, picture in watched(_pictures(records, candidates), len(candidates), "boxes", "Cutting images")
        if (candidate := _cut_one(folder, records[index], index, picture, rules, counts)) is not None
    }
    kept: list[int] = []
    for members in tracks.values():
        chosen = _keep_sharp({index: cut_ones[index] for index in members if index in cut_ones}, rules, counts)
        counts.tracks += bool(chosen)
        kept += chosen
    counts.images, counts.empty_tracks = len(kept), len(tracks) - counts.tracks
    if not kept:
        if counts.outside == counts.boxes:
            raise CCAFLError(
                f"{records[0].origin}: this box and all others ({counts.boxes}) lie outside their pictures; a box is "
                "left, top, width and height in pixels. Are boxes and pictures of one recording, and of one size?"
            )
        raise CCAFLError(
            f"ccafl.data.crops: nothing is left ({counts}); loosen the rules, e.g. ccafl.data.crops.least_height."
        )
    _write_index(folder, {cut_ones[index].file.relative_to(folder).as_posix(): records[index] for index in kept})
    return counts


def _write_index(folder: Path, records: dict[str, Record]) -> None:
    """The table of what has been cut; what the boxes were is noted, not read again."""
    with open(folder / INDEX, "w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "id", "camera", "split", "frame", "box_x", "box_y", "box_w", "box_h"])
        for name, record in sorted(records.items()):
            writer.writerow([name, record.id, record.camera, record.split, record.frame or 0, *(record.box or ())])


def _cut_one(
    folder: Path, record: Record, index: int, picture: Picture, rules: CropRules, counts: CropCounts
) -> _Candidate | None:
    """Cuts one box out of its picture, if enough of it lies in there."""
    height, width = picture.shape[:2]
    assert record.box is not None
    left, top, right, bottom = clipped(record.box, width, height, rules.padding)
    if right <= left or bottom <= top:
        counts.outside += 1
        return None
    if right - left < rules.least_width or bottom - top < rules.least_height:
        counts.small += 1
        return None
    image = picture[top:bottom, left:right]
    file = folder / _file_name(record, index)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file)
    x, y, w, h = record.box
    leaves = x < -0.5 or y < -0.5 or x + w > width + 0.5 or y + h > height + 0.5
    return _Candidate(file, sharpness(image), leaves)


def _keep_sharp(candidates: dict[int, _Candidate], rules: CropRules, counts: CropCounts) -> list[int]:
    """The sharp images of a track, at most so many as the rules say; files of the others are removed."""
    sharp = sharp_enough([candidate.sharpness for candidate in candidates.values()], rules.blur)
    sharp_ones = [index for index, is_sharp in zip(candidates, sharp, strict=True) if is_sharp]
    chosen = spread(sharp_ones, rules.most)
    counts.blurred += len(candidates) - len(sharp_ones)
    counts.thinned += len(sharp_ones) - len(chosen)
    for index, candidate in candidates.items():
        if index in chosen:
            counts.clipped += candidate.leaves
        else:
            candidate.file.unlink()
    return chosen


def _choose_boxes(
    records: Sequence[Record], rules: CropRules, confidences: Sequence[float], counts: CropCounts
) -> list[int]:
    """Those that the detector was sure of and that no other box hides."""
    frames: dict[tuple[str, int | None], list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if -1 != confidences[index] < rules.confidence:
            counts.unsure += 1
        else:
            frames[record.path, record.frame].append(index)
    kept = []
    for members in frames.values():
        shares = covered_shares(np.array([records[index].box for index in members], dtype=np.float64))
        visible = [index for index, share in zip(members, shares, strict=True) if share <= rules.overlap]
        counts.covered += len(members) - len(visible)
        kept += visible
    return sorted(kept)


def _pictures(records: Sequence[Record], indices: Iterable[int]) -> Iterable[tuple[int, Picture]]:
    """Each record with its picture; every video is read once, from front to back."""
    sources: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in indices:
        sources[records[index].path][records[index].frame or 0].append(index)
    for source, frames in sources.items():
        path = Path(source)
        if not path.is_dir() and path.suffix.lower() not in VIDEOS:
            picture = np.asarray(read_image(source))
            for members in frames.values():
                yield from ((index, picture) for index in members)
            continue
        if 0 in frames:
            raise CCAFLError(
                f"{records[frames[0][0]].origin}: a box in {path.name} needs the number of its frame, from 1."
            )
        try:
            for frame, picture in pictures_of(path, list(frames)):
                yield from ((index, picture) for index in frames[frame])
        except MissingFrame as error:
            origin = records[frames[error.frame][0]].origin
            raise CCAFLError(
                f"{origin}: frame {error.frame} is not in the pictures: {error.holds}; are the two of one recording?"
            ) from error


def _file_name(record: Record, index: int) -> str:
    """``camera/id/frame.png``, where any name is a fine name of a folder; numbers sort by value."""
    identity = record.id.zfill(6) if record.id.isdigit() else _safe(record.id)
    folder = record.split if record.split != "train" else ""
    return os.path.join(folder, _safe(record.camera), identity, f"{record.frame or index:07d}_{index:07d}.png")


def _safe(name: str) -> str:
    quoted = quote(name, safe=" ")[:120]
    return quoted.replace(".", "%2E") if not quoted.strip(". ") else quoted
