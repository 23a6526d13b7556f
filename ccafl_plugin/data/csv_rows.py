"""Rows of a CSV file whose first row names the columns; what is wrong is one line with file and row."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ccafl_plugin.utils.errors import CCAFLError

DELIMITERS = (",", ";", "\t")


def csv_rows(
    file: Path, key: str, needed: Sequence[str], known: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file.

    The first row names the columns. Commas, semicolons or tabs part the cells; the text is UTF-8. Empty rows are
    skipped. Nothing is read before the first row is asked for.

    Args:
        file: the CSV file.
        key: the setting that named it, for messages.
        needed: columns that must be there.
        known: further columns that have a meaning; they may stand there once.

    Yields:
        Where the row stands, for messages (``KEY: FILE, row 3``), and column -> cell, as it was written.

    Raises:
        CCAFLError: names file and row, and says what is wrong there.
    """
    text = _text(file, key)
    head = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    found_any = False
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_columns(names, file, key, needed, known)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{key}: {file}, row {reader.line_num}"
            if len(cells) != len(names):
                raise CCAFLError(
                    f"{where}: {len(cells)} cells, but {len(names)} columns; quote cells with {delimiter!r}."
                )
            found_any = True
            yield where, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise CCAFLError(f"{key}: {file}, row {reader.line_num}: {error}.") from error
    if not found_any:
        raise CCAFLError(f"{key}: {file} has no row below its first one, which names the columns.")


def row_number(where: str) -> str:
    """``3`` of ``KEY: FILE, row 3``."""
    return where.rpartition(" ")[2]


def _text(file: Path, key: str) -> str:
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            text = opened.read()
    except OSError as error:
        raise CCAFLError(f"{key}: {file} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CCAFLError(f"{key}: {file} is not UTF-8 (byte {error.start}); save it as CSV UTF-8.") from error
    if "\0" in text:
        raise CCAFLError(f"{key}: {file} is not a text; save it as CSV UTF-8.")
    return text


def _check_columns(names: list[str], file: Path, key: str, needed: Sequence[str], known: Sequence[str]) -> None:
    if not any(names):
        raise CCAFLError(f"{key}: {file} has an empty first row; it names the columns: {', '.join(needed)}.")
    for name in needed:
        if name not in names:
            near = difflib.get_close_matches(name, [each for each in names if each not in needed], n=1, cutoff=0.5)
            hint = f"; is it {near[0]!r}?" if near else ""
            found = ", ".join(map(repr, names))
            raise CCAFLError(f"{key}: {file} has no column {name!r} in its first row ({found}){hint}")
    for name in dict.fromkeys([*needed, *known]):
        if names.count(name) > 1:
            raise CCAFLError(f"{key}: {file} has the column {name!r} twice; remove one.")
