"""Data of one's own, read from wherever they are, with what should be said about them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ccafl_plugin.data.crop_cutting import CropCounts, cut
from ccafl_plugin.data.image_records import (
    GALLERY,
    QUERY,
    TRAIN,
    NumberedImages,
    Record,
    look_alike_notes,
    numbered,
)
from ccafl_plugin.data.mot_file import read_mot_file
from ccafl_plugin.data.name_pattern import NamePattern
from ccafl_plugin.data.own_folder import TREE, read_folder
from ccafl_plugin.data.own_split import hold_out
from ccafl_plugin.data.own_table import find_file, read_table
from ccafl_plugin.data.own_tracks import find_tracked_cameras
from ccafl_plugin.own_settings import OwnData
from ccafl_plugin.utils.errors import CCAFLError

WITHOUT_CAMERAS = "configs/own/without_cameras.yaml"


@dataclass(frozen=True)
class OwnImages:
    """What was read.

    Attributes:
        records: of every image.
        images: torchreid's lists with the names behind their numbers.
        ids_hold_across: whether equal ids of two cameras are one person.
        source: where it was read from, for people.
        notes: lines that say what was left out or looks wrong.
    """

    records: list[Record]
    images: NumberedImages
    ids_hold_across: bool
    source: str
    notes: list[str]


def read_own_folder(root: Path, own: OwnData) -> OwnImages:
    """The dataset ``folder``: a table if one is named, else the files below the root by their names.

    Args:
        root: the data root.
        own: the settings.

    Raises:
        CCAFLError: whatever is wrong with the data, in one line that names file and remedy.
    """
    notes: list[str] = []
    if own.table:
        file = find_file(own.table, root, "ccafl.data.table")
        source = str(file)
        records = read_table(file, needs_cameras=False)
        has_cameras = all(record.camera for record in records)
        remedy = f"add a column 'camera' to {file}"
    else:
        source = f"{root} ({own.pattern or TREE})"
        records, others = read_folder(root, own.pattern)
        if others:
            notes.append(f"{len(others)} images do not fit the pattern and are left out, e.g. {others[0]}")
        has_cameras = "camera" in NamePattern.parse(own.pattern or TREE).names
        remedy = "name the part of the files' names that tells it by {camera} in ccafl.data.pattern"
    if own.needs_cameras and not has_cameras:
        raise CCAFLError(
            f"data.sources: {source} does not say which camera took an image, and intra-camera supervision needs it: "
            f"{remedy}, or train with {WITHOUT_CAMERAS}, which works without."
        )
    records, counts = _with_boxes_cut(root, records, own)
    if counts is not None:
        notes.append(f"Boxes: {counts}")
    return _finished(root, records, own, own.ids_hold_across, source, notes)


def read_own_tracks(root: Path, own: OwnData) -> OwnImages:
    """The dataset ``tracks``: images cut out of videos where trackers found somebody; a track is an id of its camera.

    Args:
        root: the data root.
        own: the settings.

    Raises:
        CCAFLError: whatever is wrong with the data, in one line that names file and remedy.
    """
    if own.ids_hold_across:
        raise CCAFLError(
            "ccafl.data.ids: a track of a tracker is somebody of its own camera only; set it to per_camera for tracks."
        )
    records, confidences, notes = [], [], []
    cameras = find_tracked_cameras(root)
    for camera in cameras:
        boxes, nobody = read_mot_file(camera.tracks)
        if nobody:
            notes.append(f"{camera.tracks}: {nobody} lines with the track -1 are left out")
        for box in boxes:
            origin = f"{camera.tracks}, row {box.row}"
            records.append(Record(str(camera.source), str(box.track), camera.name, TRAIN, box.frame, box.box, origin))
            confidences.append(box.confidence)
    images, counts = cut(root, records, own.crops, confidences)
    notes.append(f"Tracks: {counts}")
    return _finished(root, images, own, False, f"{root} (tracks of {len(cameras)} cameras)", notes)


def _finished(
    root: Path, records: list[Record], own: OwnData, ids_hold_across: bool, source: str, notes: list[str]
) -> OwnImages:
    """Held-out people, labelled queries, numbers, and what looks wrong."""
    if own.test_share:
        records, line = hold_out(root, records, own.test_share, own.seed)
        notes.append(line)
    if own.queries:
        if any(record.split != TRAIN for record in records):
            raise CCAFLError("ccafl.data.queries: the data have a query or gallery part already; empty one of the two.")
        file = find_file(own.queries, root, "ccafl.data.queries")
        labelled = _labelled(read_table(file, "ccafl.data.queries", split=QUERY), file, root, own)
        trained = {os.path.normpath(record.path) for record in records}
        both = {record.path for record in labelled if os.path.normpath(record.path) in trained}
        if both:
            notes.append(f"warning: {len(both)} images of {file} are trained on, too; scores on them flatter")
        records = [*records, *labelled]
    notes += look_alike_notes((record for record in records if record.split == TRAIN), ids_hold_across)
    return OwnImages(records, numbered(records, ids_hold_across), ids_hold_across, source, notes)


def _labelled(records: Sequence[Record], file: Path, root: Path, own: OwnData) -> list[Record]:
    """Query and gallery; images of which the table doesn't say which are both."""
    records, _ = _with_boxes_cut(root, records, own)
    splits = Counter(record.split for record in records)
    if splits[TRAIN]:
        raise CCAFLError(f"ccafl.data.queries: {file} has images to train on; put them into ccafl.data.table.")
    if not splits[GALLERY]:
        records = [*records, *(_as_gallery(record) for record in records)]
    return records


def _with_boxes_cut(root: Path, records: Sequence[Record], own: OwnData) -> tuple[list[Record], CropCounts | None]:
    """Records whose boxes have become images, and what became of the boxes; None if no record has one."""
    whole = [record for record in records if record.box is None]
    if len(whole) == len(records):
        return whole, None
    images, counts = cut(root, [record for record in records if record.box is not None], own.crops)
    return whole + images, counts


def _as_gallery(record: Record) -> Record:
    return Record(record.path, record.id, record.camera, GALLERY, record.frame, record.box, record.origin)
