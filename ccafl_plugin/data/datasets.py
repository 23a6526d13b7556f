"""Datasets that torchreid does not have, as classes of the torchreid that is installed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from ccafl_plugin.data import synthetic
from ccafl_plugin.errors import CCAFLError
from ccafl_plugin.options import options

MSMT17_FOLDERS = {"MSMT17_V1": ("train", "test"), "MSMT17_V2": ("mask_train_v2", "mask_test_v2")}
"""The two published versions of MSMT17: their folder, and in it the folders of training and test images."""

Tuples = list[tuple[str, int, int]]
"""(image path, person id, camera id from 0)."""

_MARKET_NAME = re.compile(r"(-?\d+)_c(\d+)s")


def build_datasets(torchreid: ModuleType) -> dict[str, type]:
    """The dataset classes by the names under which they are registered.

    Args:
        torchreid: the package below which torchreid's ``data`` lies.

    Returns:
        ``synthetic_persons`` and ``msmt17_trainval``, subclasses of torchreid's ``ImageDataset``.
    """
    image_dataset = torchreid.data.ImageDataset

    class SyntheticPersons(image_dataset):
        """Rendered pedestrians before six or more cameras, made below the data root when they are first asked for.

        Args:
            root: the data root; made if it is missing.
            size: "tiny", "small", "medium" or "large"; by default the option ``synthetic_size``.
            seed: which benchmark of that size; by default the option ``synthetic_seed``.
            cameras: how many cameras, at least 6; by default the option ``synthetic_cameras``.
        """

        dataset_dir = synthetic.NAME

        def __init__(
            self,
            root: str = "",
            size: str | None = None,
            seed: int | None = None,
            cameras: int | None = None,
            **kwargs: Any,
        ) -> None:
            size = options.synthetic_size if size is None else size
            seed = options.synthetic_seed if seed is None else seed
            cameras = options.synthetic_cameras if cameras is None else cameras
            folder = synthetic.ensure(root, size, seed, cameras=cameras)
            super().__init__(
                read_market_folder(folder / "bounding_box_train", relabel=True),
                read_market_folder(folder / "query"),
                read_market_folder(folder / "bounding_box_test"),
                **kwargs,
            )

    class MSMT17TrainVal(image_dataset):
        """MSMT17 by its published protocol: the images of the training and of the validation list are trained on.

        Query and gallery are those of torchreid's ``msmt17`` and are never trained on; ``combineall``, which would add
        them, is refused.

        Args:
            root: the data root; it holds ``msmt17/MSMT17_V1`` or ``msmt17/MSMT17_V2``.
        """

        dataset_dir = "msmt17"

        def __init__(self, root: str = "", **kwargs: Any) -> None:
            if kwargs.get("combineall"):
                raise CCAFLError(
                    "data.combineall: it would train msmt17_trainval on its query and gallery; set it to False."
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

    return {synthetic.NAME: SyntheticPersons, "msmt17_trainval": MSMT17TrainVal}


def make_importable(datasets: Iterable[type]) -> None:
    """Makes classes of :func:`build_datasets` findable by name in this module.

    Data workers that are not forked get datasets pickled; they find the class when they import this package.
    """
    for dataset in datasets:
        dataset.__module__, dataset.__qualname__ = __name__, dataset.__name__
        globals()[dataset.__name__] = dataset


def read_market_folder(folder: Path, relabel: bool = False) -> Tuples:
    """The images of a folder with Market-1501's file names, sorted by name; any number of cameras.

    Images of person -1, which Market-1501 calls junk, are left out.

    Args:
        folder: where the ``.jpg`` files are.
        relabel: number the persons 0, 1, ... in the order of their numbers.

    Returns:
        (path, person, camera from 0) of each image.
    """
    data = []
    for path in sorted(folder.glob("*.jpg")):
        match = _MARKET_NAME.match(path.name)
        if match is None:
            raise CCAFLError(f"{path} is not named as in Market-1501 (0002_c1s1_000451_03.jpg).")
        if int(match[1]) >= 0:
            data.append((str(path), int(match[1]), int(match[2]) - 1))
    if not relabel:
        return data
    number = {pid: index for index, pid in enumerate(sorted({pid for _, pid, _ in data}))}
    return [(path, number[pid], camera) for path, pid, camera in data]


def find_msmt17(root: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """The folders of MSMT17 below the data root: lists, training images, test images.

    Raises:
        CCAFLError: neither version is there.
    """
    base = Path(root).expanduser().absolute() / "msmt17"
    for name, (train, test) in MSMT17_FOLDERS.items():
        if (base / name).is_dir():
            return base / name, base / name / train, base / name / test
    raise CCAFLError(f"{base} holds neither {' nor '.join(MSMT17_FOLDERS)}: unpack MSMT17 there.")


def read_msmt17_list(path: Path, images: Path) -> Tuples:
    """The entries of one of MSMT17's list files, ``0000/0000_000_01_0303morning_0008_0.jpg 0`` a line.

    Raises:
        CCAFLError: the file is missing, or one of its lines is something else.
    """
    if not path.is_file():
        raise CCAFLError(f"{path} is missing: MSMT17's list files belong beside its folders of images.")
    data = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            name, pid = line.split()
            data.append((str(images / name), int(pid), int(name.split("_")[2]) - 1))
        except (ValueError, IndexError):
            raise CCAFLError(f"{path}, line {number}: {line!r} is not an image and a person's number.") from None
    return data
