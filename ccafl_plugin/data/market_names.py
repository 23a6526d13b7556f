"""File names of Market-1501 and DukeMTMC-reID, checked before torchreid's classes read them.

torchreid searches ``number_c digit`` in the whole path. So it takes camera 12 for camera 1 and a folder
``run_12_c3`` for the label of every image, and fails without a text at other cameras and people.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ccafl_plugin.data.own_folder import ENDINGS
from ccafl_plugin.utils.errors import CCAFLError

READ = ".jpg"
"""The ending that torchreid's classes read, in this case only."""

_LABEL = re.compile(r"(-?[0-9]+)_c([0-9]+)")
_FOUND_BY_TORCHREID = re.compile(r"[-\d]+_c\d")
OWN = "or read the images as the dataset folder (docs/own-cameras.md)"


@dataclass(frozen=True)
class MarketNames:
    """Which labels torchreid's class takes.

    Attributes:
        example: a file's name.
        cameras: number of cameras.
        people: largest number of a person; None: any.
        has_junk: whether person -1 is left out as junk.
    """

    example: str
    cameras: int
    people: int | None = None
    has_junk: bool = False

    def check(self, folder: Path, dataset: str) -> None:
        """Checks the names of all images in a folder.

        Args:
            folder: of one set; it exists.
            dataset: for messages.

        Raises:
            CCAFLError: a name off the pattern, a camera or person that the class does not have or misreads, images
                with another ending, nothing but junk, or a folder that can't be read.
        """
        names = _image_names(folder, dataset)
        read = [name for name in names if name.endswith(READ)]
        if problems := [(name, problem) for name in read if (problem := self.problem(name))]:
            name, problem = problems[0]
            more = f" (as {len(problems) - 1} more)" if problems[1:] else ""
            raise CCAFLError(f"{dataset}: {folder / name}{more} {problem}. Rename or remove it, {OWN}.")
        others = [name for name in names if name not in read and _LABEL.match(name)]
        if others:
            raise CCAFLError(
                f"{dataset}: {len(others)} of {len(names)} images in {folder} do not end in {READ}, e.g. {others[0]}, "
                f"and torchreid would leave them out. Rename them, {OWN}."
            )
        if self.has_junk and read and all(name.startswith("-1_") for name in read):
            raise CCAFLError(f"{dataset}: all {len(read)} images in {folder} are junk (person -1). Add people to it.")

    def problem(self, name: str) -> str:
        """What is wrong with a file's name; empty: nothing."""
        found = _LABEL.match(name)
        if found is None:
            return f"has no name such as {self.example}"
        person, camera = int(found[1]), int(found[2])
        if not 1 <= camera <= self.cameras:
            return f"is of camera {camera}; torchreid takes 1 to {self.cameras}"
        if person < 0 and not (self.has_junk and person == -1):
            return f"is of person {person}; people are numbered from 0"
        if self.people is not None and person > self.people:
            return f"is of person {person}; torchreid takes 0 to {self.people}"
        return ""


NAMES = {
    "market1501": MarketNames("0002_c1s1_000451_03.jpg", 6, 1501, True),
    "dukemtmcreid": MarketNames("0005_c2_f0046985.jpg", 8),
}
"""By the dataset's name."""


def check_path(base: Path, dataset: str) -> None:
    """Checks that a folder's own path is not read as a label.

    Raises:
        CCAFLError: it would be.
    """
    found = _FOUND_BY_TORCHREID.search(f"{base}{os.sep}")
    if found is not None:
        raise CCAFLError(
            f"data.root: torchreid would take {found[0]!r} in the path {base} for the label of every image of "
            f"{dataset}. Rename the folder, or set data.root to a link to it with another name."
        )


def _image_names(folder: Path, dataset: str) -> list[str]:
    """Names of all image files, sorted, hidden ones left out."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise CCAFLError(f"{dataset}: the folder {folder} can't be read: {error.strerror}.") from error
    return sorted(name for name in names if name.lower().endswith(ENDINGS) and not name.startswith("."))
