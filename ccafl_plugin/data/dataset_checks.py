"""Checks of folders and lists, made before torchreid meets what it has no good answer to.

torchreid creates a data root that is missing and starts a download, and stops with an IndexError at an empty folder.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ccafl_plugin.data.datasets import find_msmt17
from ccafl_plugin.data.own_dataset import READERS as OWN_READERS
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError


def check_sources(
    root: str | os.PathLike[str], sources: Iterable[str], targets: Iterable[str], classes: Mapping[str, type]
) -> None:
    """Looks whether the folders of datasets are there and hold images, before torchreid is asked for them.

    Datasets without an entry in :data:`CHECKS` are only looked for under the folder that torchreid's class names.

    Args:
        root: the data root.
        sources: names of the datasets to train on.
        targets: names of the datasets to test on.
        classes: torchreid's dataset classes by name. Those with ``is_made_on_first_use`` need nothing on disk.

    Raises:
        CCAFLError: what is missing, and where it should be.
    """
    sources, targets = list(sources), list(targets)
    names = [
        name
        for name in dict.fromkeys(sources + targets)
        if not getattr(classes.get(name), "is_made_on_first_use", False)
    ]
    if not names:
        return
    base = Path(root).expanduser().absolute()
    if not base.is_dir():
        raise CCAFLError(f"data.root: {base} is not there. Set data.root to the folder that holds {', '.join(names)}.")
    for name in names:
        if name in READERS and importlib.util.find_spec(READERS[name]) is None:
            raise CCAFLError(f'{name}: torchreid reads it by {READERS[name]}: pip install "ccafl_plugin[{name}]".')
        if name in CHECKS:
            CHECKS[name](base, name, name in sources)
        else:
            _check_folder(base, name, classes.get(name))


def check_queries(name: str, query: Sequence[tuple], gallery: Sequence[tuple]) -> None:
    """Makes sure that at least one query can be found again by another camera; torchreid needs that to score.

    Args:
        name: of the dataset, for the message.
        query: (path, person, camera, ...) of each query.
        gallery: (path, person, camera, ...) of each gallery image.

    Raises:
        CCAFLError: no query, no gallery image, or no query with a match in another camera.
    """
    if len(query) == len(gallery) == 0:  # a set to train on only
        return
    for part, images in (("query", query), ("gallery", gallery)):
        if len(images) == 0:
            raise CCAFLError(f"data.targets: {name} has no {part} image.")
    cameras: dict[int, set[int]] = {}
    for _, pid, camera, *_ in gallery:
        cameras.setdefault(pid, set()).add(camera)
    if not any(cameras.get(pid, set()) - {camera} for _, pid, camera, *_ in query):
        raise CCAFLError(
            f"data.targets: no query of {name} has a match in another camera, so nothing can be scored; "
            "the gallery needs images of the query's persons by other cameras."
        )


Check = Callable[[Path, str, bool], None]
"""Takes the data root, the dataset's name and whether it is trained on; raises CCAFLError."""


def check_market1501(root: Path, name: str, is_source: bool) -> None:
    """The three folders, with or without the archive's own folder around them."""
    base = _dataset_folder(root, "market1501", name)
    inner = base / "Market-1501-v15.09.15"
    _check_splits(inner if inner.is_dir() else base, name, is_source)


def check_dukemtmcreid(root: Path, name: str, is_source: bool) -> None:
    """The three folders inside the archive's own folder."""
    _check_splits(_dataset_folder(root, "dukemtmc-reid", name) / "DukeMTMC-reID", name, is_source)


def check_msmt17(root: Path, name: str, _is_source: bool) -> None:
    """Both lists of training images are read by torchreid's own class, whichever it uses."""
    _dataset_folder(root, "msmt17", name)
    main, train, test = find_msmt17(root)
    lists = {"list_train.txt": train, "list_val.txt": train, "list_query.txt": test, "list_gallery.txt": test}
    for file, folder in lists.items():
        path = main / file
        if not path.is_file():
            raise CCAFLError(f"{name}: the list file {path} is missing.")
        if not folder.is_dir():
            raise CCAFLError(f"{name}: the folder {folder} is missing.")
        lines = path.read_text(encoding="utf-8").split("\n")
        entry = next((line for line in lines if line.strip()), None)
        if entry is None and file != "list_val.txt":
            raise CCAFLError(f"{name}: the list file {path} is empty.")
        if entry is not None and not (folder / entry.split(" ")[0]).is_file():
            raise CCAFLError(f"{name}: {path} lists {entry.split(' ')[0]}, which is not in {folder}.")


def check_own(root: Path, name: str, is_source: bool) -> None:
    """Reads all labels, as ``options.own_data`` says."""
    images = OWN_READERS[name](root, options.own_data).images
    if is_source and not images.train:
        raise CCAFLError(f"data.sources: {name} has no image to train on below {root}; its split is query or gallery.")


CHECKS: dict[str, Check] = {
    "market1501": check_market1501,
    "dukemtmcreid": check_dukemtmcreid,
    "msmt17": check_msmt17,
    "msmt17_trainval": check_msmt17,
    "folder": check_own,
    "tracks": check_own,
}
"""What is known of datasets' layouts, by name."""

READERS = {"cuhk03": "h5py"}
"""Modules by which torchreid reads a dataset and which this package does not require; the extra has its name."""


def _check_splits(base: Path, name: str, is_source: bool) -> None:
    """The three folders of Market-1501's layout. All of them are read whatever the dataset is used for."""
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        folder = base / split
        if not folder.is_dir():
            raise CCAFLError(f"{name}: the folder {folder} is missing.")
        if not any(folder.glob("*.jpg")):
            use = "to train on" if split == "bounding_box_train" and is_source else "in it"
            raise CCAFLError(f"{name}: {folder} has no .jpg image {use}.")


def _check_folder(root: Path, name: str, dataset: type | None) -> None:
    """For datasets of which no layout is known: the folder that the class names must be there, with something in it."""
    folder = getattr(dataset, "dataset_dir", None)
    if isinstance(folder, str) and folder:
        base = _dataset_folder(root, folder, name)
        if not any(base.iterdir()):
            raise CCAFLError(f"{name}: the folder {base} is empty.")


def _dataset_folder(root: Path, folder: str, name: str) -> Path:
    if not (root / folder).is_dir():
        raise CCAFLError(f"data.root: {root} has no folder {folder}, which holds {name}. Nothing is downloaded.")
    return root / folder
