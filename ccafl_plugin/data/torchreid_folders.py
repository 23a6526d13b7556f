"""What must lie in the folders of torchreid's smaller datasets, looked at before torchreid reads them.

Some of its classes write a split of whatever they find beside the images and read it ever after: of an empty folder
they would make a split without people, which stays when the images have come.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from ccafl_plugin.utils.errors import CCAFLError

NEEDED: dict[str, tuple[str, ...]] = {
    "cuhk01": ("campus/*.png",),
    "cuhk02": tuple(f"Dataset/P{pair}/cam{camera}/*.png" for pair in range(1, 6) for camera in (1, 2)),
    "cuhk03": (
        "cuhk03_release/cuhk-03.mat",
        "cuhk03_new_protocol_config_detected.mat",
        "cuhk03_new_protocol_config_labeled.mat",
    ),
    "viper": ("VIPeR/cam_a/*.bmp", "VIPeR/cam_b/*.bmp"),
    "grid": (
        "underground_reid/probe/*.jpeg",
        "underground_reid/gallery/*.jpeg",
        "underground_reid/features_and_partitions.mat",
    ),
    "prid": ("prid_2011/single_shot/cam_a/*.png", "prid_2011/single_shot/cam_b/*.png"),
    "ilids": ("i-LIDS_Pedestrian/Persons/*.jpg",),
    "sensereid": ("SenseReID/test_probe/*.jpg", "SenseReID/test_gallery/*.jpg"),
    "cuhksysu": ("cropped_images/*.jpg",),
    "university1652": (
        "University-Release/train/*/*",
        "University-Release/test/query_drone/*",
        "University-Release/test/gallery_satellite/*",
    ),
}
"""Name of a dataset -> files and, with ``*``, at least one file each, below its folder."""

NAMES = {
    "cuhk01": (r"[0-9]{4}00[1-4]\.png", "0001001.png"),
    "cuhk02": (r"[0-9]+_.*\.png", "001_1.png"),
    "grid": (r"[0-9]+_[0-9]+_.*\.jpeg", "0001_1_25004_107_32_106_221.jpeg"),
    "ilids": (r"[0-9]{7}.*\.jpg", "0001001.jpg"),
    "sensereid": (r"[0-9]+_[0-9]+\.jpg", "00001_0.jpg"),
}
"""Name of a dataset whose labels are parts of its files' names -> their form, and an example."""

INSTEAD = {"cuhk01": ("campus", "CUHK01.zip")}
"""Name of a dataset -> a folder, and the archive that torchreid unpacks where the folder is missing."""


def check_needed(base: Path, dataset: str) -> None:
    """Checks that a dataset's folder holds what torchreid reads, under names that it can read.

    Args:
        base: the dataset's folder; it exists.
        dataset: torchreid's name.

    Raises:
        CCAFLError: something is missing, can't be read or has another name; the message says what and where.
    """
    if dataset in INSTEAD:
        folder, archive = INSTEAD[dataset]
        if not (base / folder).exists() and (base / archive).is_file():
            return
    for needed in NEEDED.get(dataset, ()):
        if "*" not in needed:
            if not (base / needed).is_file():
                raise CCAFLError(f"{dataset}: the file {base / needed} is missing.")
            continue
        files = _matches(base, needed.split("/"), dataset)
        first = next(files, None)
        if first is None:
            raise CCAFLError(f"{dataset}: there is no file {base / needed}. Unpack the dataset below {base}.")
        if dataset in NAMES:
            form, example = NAMES[dataset]
            other = next((file for file in chain([first], files) if re.fullmatch(form, file.name) is None), None)
            if other is not None:
                raise CCAFLError(f"{dataset}: {other} has no name such as {example}. Rename or remove it.")


def _matches(folder: Path, parts: list[str], dataset: str) -> Iterator[Path]:
    """Files that fit; ``glob`` would take a ``[`` in the root for a pattern and pass by folders that can't be read."""
    first, *others = parts
    if not folder.is_dir():
        return
    try:
        names = sorted(os.listdir(folder)) if "*" in first else [first]
    except OSError as error:
        raise CCAFLError(f"{dataset}: the folder {folder} can't be read: {error.strerror}.") from error
    for name in names:
        if fnmatchcase(name, first):
            if others:
                yield from _matches(folder / name, others, dataset)
            elif (folder / name).exists():
                yield folder / name
