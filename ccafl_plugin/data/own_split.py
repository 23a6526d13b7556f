"""People held out of training, drawn once and written beside the data."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from ccafl_plugin.data.image_records import GALLERY, QUERY, TRAIN, Record, natural_key
from ccafl_plugin.own_settings import PRODUCTS
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole
from ccafl_plugin.utils.seeds import generator

COLUMNS = ("path", "id", "camera", "split")


def hold_out(root: Path, records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], str]:
    """Moves a share of the people whom several cameras saw, with all their images, out of training.

    One image of each held-out person and camera becomes a query (the first by path), all become gallery: who evaluates
    leaves the query's own camera out. The split is written to ``root/ccafl-files/split-seed1-share0.3.csv``, a table
    as ``ccafl.data.table`` takes it; a file that is there is taken as it is.

    Args:
        root: the data root.
        records: all with the split ``train``.
        share: of the people whom several cameras saw, rounded; at least one is held out and one is left to train on.
        seed: of the draw.

    Returns:
        Records with their splits, queries twice, and a line that says where the split stands.

    Raises:
        CCAFLError: records that have a split already, too few people, a file of other images or one that can't be
            written.
    """
    if any(record.split != TRAIN for record in records):
        raise CCAFLError("ccafl.data.test_share: the data are split already; set it to 0.")
    file = root / PRODUCTS / f"split-seed{seed}-share{share:g}.csv"
    if not file.is_file():
        held = _draw(records, share, seed)
        try:
            write_text_whole(file, _table(records, held, root))
        except OSError as error:
            raise CCAFLError(f"ccafl.data.test_share: {file} can't be written: {error.strerror or error}.") from error
    return _apply(records, _read(file, root, records), file)


def _draw(records: Sequence[Record], share: float, seed: int) -> set[str]:
    cameras: dict[str, set[str]] = {}
    for record in records:
        cameras.setdefault(record.id, set()).add(record.camera)
    several = sorted((identity for identity, seen in cameras.items() if len(seen) > 1), key=natural_key)
    if len(several) < 2:
        raise CCAFLError(
            f"ccafl.data.test_share: {len(several)} people were seen by several cameras, at least 2 are needed; set it "
            "to 0, or name labelled images in ccafl.data.queries."
        )
    count = min(max(round(share * len(several)), 1), len(several) - 1)
    order = torch.randperm(len(several), generator=generator(seed, "test split")).tolist()
    return {several[index] for index in order[:count]}


def _table(records: Sequence[Record], held: set[str], root: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    queries: set[tuple[str, str]] = set()
    for record in sorted(records, key=lambda record: record.path):
        split = TRAIN
        if record.id in held:
            split = GALLERY if (record.id, record.camera) in queries else QUERY
            queries.add((record.id, record.camera))
        path = os.path.relpath(record.path, root / PRODUCTS).replace(os.sep, "/")
        writer.writerow([path, record.id, record.camera, split])
    return text.getvalue()


def _read(file: Path, root: Path, records: Sequence[Record]) -> dict[str, str]:
    """The split of every image, by path."""
    with open(file, encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    found = {os.path.normpath(root / PRODUCTS / row["path"]): row["split"] for row in rows}
    paths = {os.path.normpath(record.path) for record in records}
    if set(found) != paths:
        other = sorted(paths ^ set(found))[0]
        where = "is new" if other in paths else "is gone"
        raise CCAFLError(
            f"ccafl.data.test_share: {file} was drawn for other images, {other} {where}; remove the file to draw anew, "
            "or set another ccafl.data.seed."
        )
    return found


def _apply(records: Sequence[Record], split_of: dict[str, str], file: Path) -> tuple[list[Record], str]:
    split = []
    held = set()
    for record in records:
        part = split_of[os.path.normpath(record.path)]
        split.append(dataclasses.replace(record, split=part))
        if part != TRAIN:
            held.add(record.id)
        if part == QUERY:  # torchreid leaves a query's own camera out of its gallery, so the image may be in both
            split.append(dataclasses.replace(record, split=GALLERY))
    people = len({record.id for record in records})
    return split, f"{len(held)} of {people} people are held out of training, as {file} says"
