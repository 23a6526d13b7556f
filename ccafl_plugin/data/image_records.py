"""One line per image, wherever it was read from, and the numbers that torchreid wants in the place of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ccafl_plugin.data.proxies import TrainTuple

TRAIN, QUERY, GALLERY = SPLITS = ("train", "query", "gallery")
Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels; may leave the picture."""


@dataclass(frozen=True)
class Record:
    """An image with its labels as they were written.

    Attributes:
        path: of the file; of the whole picture or the video where there is a box.
        id: any string.
        camera: any string; empty if nobody said.
        split: ``train``, ``query`` or ``gallery``.
        frame: number from 1 in a video, or whatever the names of the files say; None if unknown.
        box: the part of the picture that shows the person; None: all of it.
        origin: where the line stands, for messages: ``people.csv, row 3``.
        time: in seconds from any common zero; None if unknown.
    """

    path: str
    id: str
    camera: str
    split: str = TRAIN
    frame: int | None = None
    box: Box | None = None
    origin: str = ""
    time: float | None = None


@dataclass(frozen=True)
class NumberedImages:
    """torchreid's three lists, and the names behind their numbers.

    Attributes:
        train, query, gallery: (path, person, camera, 0) of each image.
        cameras: name of camera 0, 1, ...: in natural order (``cam2`` before ``cam10``).
        train_ids: (camera's name, id) of each number in the training list; the camera is empty where ids hold across.
        test_ids: id of each number in query and gallery.
    """

    train: list[TrainTuple]
    query: list[TrainTuple]
    gallery: list[TrainTuple]
    cameras: tuple[str, ...]
    train_ids: tuple[tuple[str, str], ...]
    test_ids: tuple[str, ...]


def numbered(records: Sequence[Record], ids_hold_across: bool) -> NumberedImages:
    """Numbers cameras in the natural order of their names, ids in the order in which they first appear.

    Lists are sorted by (camera, path). Nothing that is trained under intra-camera supervision depends on the ids'
    numbers (:class:`~ccafl_plugin.data.proxies.ProxyLabels`).

    Args:
        records: of all splits.
        ids_hold_across: False: equal ids of two cameras are two numbers in the training list. Ids of query and
            gallery always hold across cameras.
    """
    cameras = tuple(sorted({record.camera for record in records}, key=natural_key))
    camera_number = {camera: number for number, camera in enumerate(cameras)}
    train_number: dict[tuple[str, str], int] = {}
    test_number: dict[str, int] = {}
    lists: dict[str, list[TrainTuple]] = {split: [] for split in SPLITS}
    for record in sorted(records, key=lambda record: (camera_number[record.camera], record.path)):
        if record.split == TRAIN:
            key = ("" if ids_hold_across else record.camera, record.id)
            number = train_number.setdefault(key, len(train_number))
        else:
            number = test_number.setdefault(record.id, len(test_number))
        lists[record.split].append((record.path, number, camera_number[record.camera], 0))
    return NumberedImages(lists[TRAIN], lists[QUERY], lists[GALLERY], cameras, tuple(train_number), tuple(test_number))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts names as people do: ``Cam2`` before ``cam10``. Numbers count by value, case only between equals."""
    parts: list[str] = re.findall(r"[0-9]+|[^0-9]+", name)
    numbered = ((0, int(part), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts)
    return (*numbered, (-1, 0, name))  # a name comes before those that go on behind it


def look_alike_ids(records: Iterable[Record], ids_hold_across: bool) -> list[tuple[str, str]]:
    """Pairs of ids that differ by case or blanks only, each once, in natural order; they are taken as two.

    Args:
        records: of the training set.
        ids_hold_across: False: only ids of one camera are compared.
    """
    spellings: dict[tuple[str, str], set[str]] = {}
    for record in records:
        key = ("" if ids_hold_across else record.camera, "".join(record.id.split()).casefold())
        spellings.setdefault(key, set()).add(record.id)
    several = [sorted(found, key=natural_key) for found in spellings.values() if len(found) > 1]
    return sorted({(first, other) for first, *others in several for other in others})


def look_alike_notes(records: Iterable[Record], ids_hold_across: bool) -> list[str]:
    """A line that warns of what :func:`look_alike_ids` finds, or none; arguments as there."""
    pairs = look_alike_ids(records, ids_hold_across)
    if not pairs:
        return []
    first, other = pairs[0]
    more = f" and {len(pairs) - 1} more pairs" if len(pairs) > 1 else ""
    return [
        f"warning: the ids {first!r} and {other!r}{more} differ by case or blanks only and are taken as two people; "
        "make them equal if they are one"
    ]
