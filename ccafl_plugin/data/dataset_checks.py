"""Checks folders and lists before torchreid reads them.

torchreid itself creates a missing data root and starts a download, and raises an IndexError for an empty folder.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ccafl_plugin.data.datasets import find_msmt17, read_msmt17_list
from ccafl_plugin.data.market_names import NAMES, check_path
from ccafl_plugin.data.own_dataset import READERS as OWN_READERS
from ccafl_plugin.data.torchreid_folders import check_needed
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.file_kinds import not_a_folder


def check_sources(
    root: str | os.PathLike[str],
    sources: Iterable[str],
    targets: Iterable[str],
    classes: Mapping[str, type],
    distractors: bool = False,
) -> None:
    """Checks the folders, lists and names of files of datasets, before torchreid reads them.

    For datasets without an entry in :data:`CHECKS`, only the folders that torchreid reads are checked.

    Args:
        root: the data root.
        sources: names of the datasets to train on.
        targets: names of the datasets to test on.
        classes: torchreid's dataset classes by name. Those with ``is_made_on_first_use`` need nothing on disk.
        distractors: whether Market-1501's folder of 500 000 distractors is read, too.

    Raises:
        CCAFLError: something is missing, can't be read or has a name that torchreid misreads; it is named.
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
    if (problem := not_a_folder(base)) is not None:
        raise CCAFLError(f"data.root: {base} {problem}. Set data.root to the folder of {', '.join(names)}.")
    for name in names:
        if _searches_by_patterns(classes.get(name)) and (found := set(str(base)) & set("*?[")):
            raise CCAFLError(
                f"data.root: {base} holds a {sorted(found)[0]!r}, which torchreid's {name} takes for a pattern. Rename "
                "the folder, or set data.root to a link to it with another name."
            )
        if name in READERS and importlib.util.find_spec(READERS[name]) is None:
            raise CCAFLError(f'{name}: torchreid needs {READERS[name]} to read it: pip install "ccafl_plugin[{name}]".')
        if name in CHECKS:
            CHECKS[name](base, name, name in sources)
        else:
            _check_folder(base, name, classes.get(name))
    if distractors and "market1501" in names:
        folder = _market1501(base, "market1501") / "images"
        if (problem := not_a_folder(folder)) is not None:
            raise CCAFLError(
                f"market1501.use_500k_distractors: {folder} {problem}. Put the distractors there, or set it to False."
            )
        NAMES["market1501"].check(folder, "market1501")


def check_queries(name: str, query: Sequence[tuple], gallery: Sequence[tuple]) -> None:
    """Checks that at least one query has a match in another camera; otherwise torchreid cannot compute scores.

    Args:
        name: name of the dataset, for the message.
        query: (path, person, camera, ...) of each query.
        gallery: (path, person, camera, ...) of each gallery image.

    Raises:
        CCAFLError: no query, no gallery image, or no query with a match in another camera.
    """
    if len(query) == len(gallery) == 0:  # a dataset for training only
        return
    for part, images in (("query", query), ("gallery", gallery)):
        if len(images) == 0:
            raise CCAFLError(f"data.targets: {name} has no {part} images. Name another dataset.")
    cameras: dict[int, set[int]] = {}
    for _, pid, camera, *_ in gallery:
        cameras.setdefault(pid, set()).add(camera)
    if not any(cameras.get(pid, set()) - {camera} for _, pid, camera, *_ in query):
        raise CCAFLError(
            f"data.targets: no query of {name} has a match in another camera, so no score can be computed. "
            "Add gallery images of the queries' persons from other cameras."
        )


Check = Callable[[Path, str, bool], None]
"""Takes the data root, the dataset's name and whether it is a source; raises CCAFLError."""


def check_market1501(root: Path, name: str, is_source: bool) -> None:
    """Checks the three folders, with or without the archive's own folder around them, and the names of the files."""
    _check_splits(_market1501(root, name), name, is_source)


def _market1501(root: Path, name: str) -> Path:
    base = _dataset_folder(root, "market1501", name)
    inner = base / "Market-1501-v15.09.15"
    return inner if inner.is_dir() else base


def check_dukemtmcreid(root: Path, name: str, is_source: bool) -> None:
    """Checks the three folders inside the archive's own folder, and the names of the files."""
    _check_splits(_dataset_folder(root, "dukemtmc-reid", name) / "DukeMTMC-reID", name, is_source)


def check_msmt17(root: Path, name: str, _is_source: bool) -> None:
    """Checks folders and every line of all list files; torchreid's class reads both lists of training images."""
    _dataset_folder(root, "msmt17", name)
    main, train, test = find_msmt17(root)
    lists = {"list_train.txt": train, "list_val.txt": train, "list_query.txt": test, "list_gallery.txt": test}
    for file, folder in lists.items():
        path = main / file
        if not path.is_file():
            raise CCAFLError(f"{name}: the list file {path} is missing.")
        if not folder.is_dir():
            raise CCAFLError(f"{name}: the folder {folder} is missing.")
        entries = read_msmt17_list(path, folder)
        if not entries and file != "list_val.txt":
            raise CCAFLError(f"{name}: the list file {path} is empty.")
        missing = [image for image, *_ in entries if not os.path.isfile(image)]
        if missing:
            first = os.path.relpath(missing[0], folder)
            more = f" (as {len(missing) - 1} more)" if missing[1:] else ""
            raise CCAFLError(f"{name}: {path} lists {first}{more}, which is not in {folder}.")


def check_own(root: Path, name: str, is_source: bool) -> None:
    """Reads all labels, with the settings in ``options.own_data``."""
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
"""Name of a dataset -> the check of its folders."""

READERS = {"cuhk03": "h5py"}
"""Name of a dataset -> an optional module that torchreid needs to read it; the extra has the dataset's name."""


def _check_splits(base: Path, name: str, is_source: bool) -> None:
    """Checks the three folders of Market-1501's layout; torchreid always reads all of them."""
    check_path(base, name)
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        folder = base / split
        if (problem := not_a_folder(folder)) is not None:
            raise CCAFLError(f"{name}: the folder {folder} {'is missing' if 'exist' in problem else problem}.")
        NAMES[name].check(folder, name)
        if not any(folder.glob("*.jpg")):
            use = "to train on" if split == "bounding_box_train" and is_source else "in it"
            raise CCAFLError(f"{name}: {folder} has no .jpg image {use}.")


def _check_folder(root: Path, name: str, dataset: type | None) -> None:
    """Checks another dataset: the folder that its class names must exist and hold what torchreid reads."""
    folder = getattr(dataset, "dataset_dir", None)
    if isinstance(folder, str) and folder:
        base = _dataset_folder(root, folder, name)
        if not os.listdir(base):
            raise CCAFLError(f"{name}: the folder {base} is empty.")
        check_needed(base, name)


def _searches_by_patterns(dataset: type | None) -> bool:
    """Whether a class of torchreid's own finds its files by ``glob``."""
    module = sys.modules.get(getattr(dataset, "__module__", ""))
    return module is not None and ".data.datasets." in module.__name__ and hasattr(module, "glob")


def _dataset_folder(root: Path, folder: str, name: str) -> Path:
    problem = not_a_folder(root / folder)
    if problem is not None and "exist" in problem:
        raise CCAFLError(
            f"data.root: {root} has no folder {folder}, which is needed for {name}. Copy the dataset there; it is not "
            "downloaded."
        )
    if problem is not None:
        raise CCAFLError(f"data.root: {root / folder}, which is needed for {name}, {problem}.")
    return root / folder
