"""A CSV file with one row per image: path, id, camera, and optionally split, frame and box."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Mapping
from pathlib import Path

from ccafl_plugin.data.image_records import TRAIN, Box, Record
from ccafl_plugin.data.own_folder import split_of
from ccafl_plugin.utils.errors import CCAFLError

BOX = ("x", "y", "w", "h")
COLUMNS = ("path", "id", "camera", "split", "frame", *BOX)
DELIMITERS = (",", ";", "\t")


def read_table(
    file: Path, key: str = "ccafl.data.table", needs_cameras: bool = True, split: str = TRAIN
) -> list[Record]:
    """The rows of a CSV file.

    The first row names the columns: ``path`` and ``id``, ``camera`` (if cameras are needed), and if you like ``split``
    (train, query or gallery), ``frame`` (a number) and the box ``x``, ``y``, ``w``, ``h`` in pixels. Other columns are
    ignored. Commas, semicolons or tabs part the cells; the text is UTF-8. A path is taken from the file's own folder.

    Args:
        file: the CSV file.
        key: the setting that named it, for messages.
        needs_cameras: refuse a table without the column ``camera``.
        split: of rows where nothing is said.

    Raises:
        CCAFLError: names file and row, and says what is wrong there.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            text = opened.read()
    except OSError as error:
        raise CCAFLError(f"{key}: {file} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CCAFLError(f"{key}: {file} is not UTF-8 (byte {error.start}); save it as CSV UTF-8.") from error
    if "\0" in text:
        raise CCAFLError(f"{key}: {file} is not a text; save it as CSV UTF-8.")
    head = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_columns(names, file, key, needs_cameras)
        records: list[Record] = []
        first_row: dict[tuple[str, int | None, Box | None], int] = {}
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{key}: {file}, row {reader.line_num}"
            if len(cells) != len(names):
                raise CCAFLError(
                    f"{where}: {len(cells)} cells, but {len(names)} columns; quote cells with {delimiter!r}."
                )
            row = dict(zip(names, cells, strict=True))
            record = _record(row, file, where, split)
            image = (record.path, record.frame if record.box else None, record.box)
            if image in first_row:
                raise CCAFLError(f"{where}: {row['path']!r} stands in row {first_row[image]} already; remove one.")
            first_row[image] = reader.line_num
            records.append(record)
    except csv.Error as error:
        raise CCAFLError(f"{key}: {file}, row {reader.line_num}: {error}.") from error
    if not records:
        raise CCAFLError(f"{key}: {file} has no row below its first one, which names the columns.")
    return records


def _check_columns(names: list[str], file: Path, key: str, needs_cameras: bool) -> None:
    for name in ("path", "id", *(["camera"] if needs_cameras else [])):
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"; is it {near[0]!r}?" if near else ""
            found = ", ".join(map(repr, names)) or "nothing"
            raise CCAFLError(f"{key}: {file} has no column {name!r} in its first row ({found}){hint}")
    for name in COLUMNS:
        if names.count(name) > 1:
            raise CCAFLError(f"{key}: {file} has the column {name!r} twice; remove one.")
    boxes = [name for name in BOX if name in names]
    if boxes and len(boxes) < len(BOX):
        raise CCAFLError(f"{key}: {file} has {', '.join(boxes)} of a box; all of {', '.join(BOX)} are needed, or none.")


def _record(row: Mapping[str, str], file: Path, where: str, split: str) -> Record:
    for name in ("path", "id", "camera"):
        if name in row and not row[name].strip():
            raise CCAFLError(f"{where}: no {name}; fill the cell or remove the row.")
    path = file.parent / row["path"].strip()
    if not path.exists():
        raise CCAFLError(f"{where}: there is no {path}; paths are taken from the folder of the table.")
    if path.is_dir() and not row.get("x", "").strip():
        raise CCAFLError(f"{where}: {path} is a folder; an image is expected.")
    frame = row.get("frame", "").strip()
    if frame and not frame.isdigit():
        raise CCAFLError(f"{where}: frame is {frame!r}, not a whole number.")
    return Record(
        path=str(path),
        id=row["id"],
        camera=row.get("camera", ""),
        split=split_of(row["split"], f"{where}: split") if row.get("split", "").strip() else split,
        frame=int(frame) if frame else None,
        box=_box(row, where),
        origin=where.partition(": ")[2],
    )


def _box(row: Mapping[str, str], where: str) -> Box | None:
    cells = [row.get(name, "").strip() for name in BOX]
    if not any(cells):
        return None
    try:
        x, y, w, h = map(float, cells)
    except ValueError:
        raise CCAFLError(f"{where}: the box {', '.join(cells)} is not four numbers x, y, w, h in pixels.") from None
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        raise CCAFLError(f"{where}: the box {x:g}, {y:g}, {w:g}, {h:g} has no area; w and h are width and height.")
    return (x, y, w, h)
