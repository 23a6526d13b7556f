"""The dataset ``msmt17_trainval``, which torchreid does not have, and readers of Market-1501's and MSMT17's layouts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from ccafl_plugin.utils.errors import CCAFLError

MSMT17_FOLDERS = {"MSMT17_V1": ("train", "test"), "MSMT17_V2": ("mask_train_v2", "mask_test_v2")}
"""Folder of each published version of MSMT17 -> its folders of training and test images."""

Tuples = list[tuple[str, int, int]]
"""(image path, person id, camera id from 0)."""

_MARKET_NAME = re.compile(r"(-?\d+)_c(\d+)s")


def build_msmt17_trainval(torchreid: ModuleType) -> type:
    """Creates the dataset class ``msmt17_trainval``.

    Args:
        torchreid: the package that contains torchreid's ``data``.

    Returns:
        A subclass of torchreid's ``ImageDataset``.
    """

    class MSMT17TrainVal(torchreid.data.ImageDataset):  # type: ignore[name-defined]  # the module is an argument
        """MSMT17 with its published protocol: training uses the images of the training and validation lists.

        Query and gallery are those of torchreid's ``msmt17`` and are never used for training; ``combineall``, which
        would add them, raises an error.

        Args:
            root: the data root; it contains ``msmt17/MSMT17_V1`` or ``msmt17/MSMT17_V2``.
        """

        dataset_dir = "msmt17"

        def __init__(self, root: str = "", **kwargs: Any) -> None:
            if kwargs.get("combineall"):
                raise CCAFLError(
                    "data.combineall: it would train msmt17_trainval on its query and gallery. Set it to False."
                )
            main, train, test = find_msmt17(root)
            super().__init__(
                sorted(
                    read_msmt17_list(main / "list_train.txt", train) + read_msmt17_list(main / "list_val.txt", train)
                ),
                read_msmt17_list(main / "list_query.txt", test),
                read_msmt17_list(main / "list_gallery.txt", test),
                **kwargs,
            )

    return MSMT17TrainVal


def read_market_folder(folder: Path, relabel: bool = False) -> Tuples:
    """Reads a folder with Market-1501's file names, sorted by name; any number of cameras.

    Images of person -1, which Market-1501 calls junk, are left out.

    Args:
        folder: folder of the ``.jpg`` files.
        relabel: whether to renumber the persons as 0, 1, ... in the order of their numbers.

    Returns:
        (path, person, camera from 0) of each image.
    """
    data = []
    for path in sorted(folder.glob("*.jpg")):
        match = _MARKET_NAME.match(path.name)
        if match is None:
            raise CCAFLError(
                f"{path} has no file name as in Market-1501 (0002_c1s1_000451_03.jpg). Rename or remove it."
            )
        if int(match[1]) >= 0:
            data.append((str(path), int(match[1]), int(match[2]) - 1))
    if not relabel:
        return data
    number = {pid: index for index, pid in enumerate(sorted({pid for _, pid, _ in data}))}
    return [(path, number[pid], camera) for path, pid, camera in data]


def find_msmt17(root: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """The folders of MSMT17 below the data root: lists, training images, test images.

    Raises:
        CCAFLError: neither version exists.
    """
    base = Path(root).expanduser().absolute() / "msmt17"
    for name, (train, test) in MSMT17_FOLDERS.items():
        if (base / name).is_dir():
            return base / name, base / name / train, base / name / test
    raise CCAFLError(f"{base} has neither {' nor '.join(MSMT17_FOLDERS)}. Unpack MSMT17 there.")


def read_msmt17_list(path: Path, images: Path) -> Tuples:
    """Reads one of MSMT17's list files, with lines such as ``0000/0000_000_01_0303morning_0008_0.jpg 0``.

    Blanks or tabs part the two words; empty lines are passed by. torchreid's class ``msmt17`` reads its lists by this
    function, too.

    Raises:
        CCAFLError: the file is missing or no text in UTF-8, or a line has another form, a person below 0 or a camera
            below 1.
    """
    if not path.is_file():
        raise CCAFLError(f"{path} is missing. MSMT17's list files must be next to its folders of images.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CCAFLError(f"{path} is no text in UTF-8 (byte {error.start}). Unpack MSMT17 again.") from error
    except OSError as error:
        raise CCAFLError(f"{path} can't be read: {error.strerror}.") from error
    data = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, person = line.split()
            pid, camera = int(person), int(name.split("_")[2])
        except (ValueError, IndexError):
            raise CCAFLError(
                f"{path}, line {number}: expected an image and a person's number, found {line[:100]!r}."
            ) from None
        if pid < 0 or camera < 1:
            raise CCAFLError(
                f"{path}, line {number}: {line[:100]!r} is of person {pid}, camera {camera}; people are numbered "
                "from 0, cameras from 1."
            )
        data.append((str(images / name), pid, camera - 1))
    return data
