"""A CSV file with pairs of images and whether both show one person, to evaluate on without query and gallery."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ccafl_plugin.data.csv_rows import csv_rows, row_number
from ccafl_plugin.data.own_table import find_file, path_of
from ccafl_plugin.utils.errors import CCAFLError

KEY = "ccafl.data.pairs"
COLUMNS = ("path_a", "path_b", "same")
WORDS = {
    **dict.fromkeys(("1", "yes", "true", "same"), True),
    **dict.fromkeys(("0", "no", "false", "different"), False),
}
"""What the column ``same`` may say, in any case."""


@dataclass(frozen=True)
class LabelledPairs:
    """What was read.

    Attributes:
        file: the CSV file.
        images: (N,) paths of all images, each once, in the order of their first row.
        places: (P, 2) int64, the two images of each pair in ``images``.
        same: (P,) bool, whether both show one person; both values occur.
    """

    file: Path
    images: list[str]
    places: Tensor
    same: Tensor


def read_pairs(name: str, root: Path, key: str = KEY) -> LabelledPairs:
    """Reads a CSV file with the columns ``path_a``, ``path_b`` and ``same``; others are ignored.

    Paths are taken from the file's own folder. ``same`` is one of :data:`WORDS`.

    Args:
        name: of the file, or its path below ``root``.
        root: the data root.
        key: the setting that named it, for messages.

    Raises:
        CCAFLError: names file and row, and says what is wrong there; or all pairs are of one kind.
    """
    file = find_file(name, root, key)
    number: dict[str, int] = {}
    first_row: dict[frozenset[int], str] = {}
    places, same = [], []
    for where, row in csv_rows(file, key, COLUMNS):
        pair = []
        for column in COLUMNS[:2]:
            if not row[column].strip():
                raise CCAFLError(f"{where}: no {column}; fill the cell or remove the row.")
            path = path_of(row[column], file, where)
            if path.is_dir():
                raise CCAFLError(f"{where}: {path} is a folder; an image is expected.")
            pair.append(number.setdefault(os.path.normpath(path), len(number)))
        word = row["same"].strip().lower()
        if word not in WORDS:
            raise CCAFLError(f"{where}: same is {row['same']!r}; write 1 for one person or 0 for two.")
        if pair[0] == pair[1]:
            raise CCAFLError(f"{where}: both images are {row['path_a']!r}; remove the row.")
        if (before := first_row.setdefault(frozenset(pair), row_number(where))) != row_number(where):
            raise CCAFLError(f"{where}: the same two images stand in row {before} already; remove one.")
        places.append(pair)
        same.append(WORDS[word])
    if all(same) or not any(same):
        missing = "two people (same 0)" if all(same) else "one person (same 1)"
        raise CCAFLError(f"{key}: {file} has no pair of {missing}; scores need pairs of both kinds.")
    return LabelledPairs(file, list(number), torch.tensor(places), torch.tensor(same))
