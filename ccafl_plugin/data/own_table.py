"""A CSV file with one row per image: path, id, camera, and optionally split, frame and box."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from ccafl_plugin.data.csv_rows import csv_rows, row_number
from ccafl_plugin.data.image_records import TRAIN, Box, Record
from ccafl_plugin.data.own_folder import split_of
from ccafl_plugin.data.time_text import seconds_of
from ccafl_plugin.utils.errors import CCAFLError

BOX = ("x", "y", "w", "h")
COLUMNS = ("path", "id", "camera", "split", "frame", "time", *BOX)


def read_table(
    file: Path, key: str = "ccafl.data.table", needs_cameras: bool = True, split: str = TRAIN
) -> list[Record]:
    """The rows of a CSV file.

    The first row names the columns: ``path`` and ``id``, ``camera`` (if cameras are needed), and if you like ``split``
    (train, query or gallery), ``frame`` (a number), ``time`` (seconds or ISO 8601; for searches) and the box ``x``,
    ``y``, ``w``, ``h`` in pixels. Other columns are ignored. Commas, semicolons or tabs part the cells; the text is
    UTF-8. A path is taken from the file's own folder.

    Args:
        file: the CSV file.
        key: the setting that named it, for messages.
        needs_cameras: refuse a table without the column ``camera``.
        split: of rows where nothing is said.

    Raises:
        CCAFLError: names file and row, and says what is wrong there.
    """
    records: list[Record] = []
    first_row: dict[tuple[str, int | None, Box | None], str] = {}
    for where, row in csv_rows(file, key, ("path", "id", *(["camera"] if needs_cameras else [])), COLUMNS):
        if not records:
            _check_box_columns(row, file, key)
        record = _record(row, file, where, split)
        # "a/../a/1.jpg" is "a/1.jpg"
        image = (os.path.normpath(record.path), record.frame if record.box else None, record.box)
        if image in first_row:
            raise CCAFLError(f"{where}: {row['path']!r} stands in row {first_row[image]} already; remove one.")
        first_row[image] = row_number(where)
        records.append(record)
    return records


def find_file(name: str, root: Path, key: str) -> Path:
    """A file by its path, or by its path below the data root.

    Args:
        name: as the setting has it.
        root: the data root.
        key: the setting, for the message.

    Raises:
        CCAFLError: there is no such file.
    """
    for file in (Path(name).expanduser(), root / name):
        if file.is_file():
            return file.absolute()
    raise CCAFLError(f"{key}: there is no file {name!r}, neither here nor in {root}.")


def path_of(cell: str, file: Path, where: str) -> Path:
    """The file that a cell of a table names; paths are taken from the table's own folder.

    Args:
        cell: as it was written.
        file: the table.
        where: the place of the row, for the message.

    Raises:
        CCAFLError: there is no such file.
    """
    path = file.parent / cell.strip()
    if not path.exists():
        raise CCAFLError(f"{where}: there is no {path}; paths are taken from the folder of the table.")
    return path


def _check_box_columns(names: Mapping[str, str], file: Path, key: str) -> None:
    boxes = [name for name in BOX if name in names]
    if boxes and len(boxes) < len(BOX):
        raise CCAFLError(f"{key}: {file} has {', '.join(boxes)} of a box; all of {', '.join(BOX)} are needed, or none.")


def _record(row: Mapping[str, str], file: Path, where: str, split: str) -> Record:
    for name in ("path", "id", "camera"):
        if name in row and not row[name].strip():
            raise CCAFLError(f"{where}: no {name}; fill the cell or remove the row.")
    path = path_of(row["path"], file, where)
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
        time=seconds_of(row["time"], f"{where}: time") if row.get("time", "").strip() else None,
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
