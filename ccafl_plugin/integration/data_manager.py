"""The plugin's datasets, and changes in torchreid's data manager and dataset class."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torchreid
from torch.utils.data import DataLoader

from ccafl_plugin.data.datasets import Tuples, build_msmt17_trainval, read_msmt17_list
from ccafl_plugin.data.image_reading import start_worker
from ccafl_plugin.data.label_noise import LabelNoise
from ccafl_plugin.data.list_entries import checked_entries
from ccafl_plugin.data.own_dataset import build_folder, build_tracks
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.data.whole_batches import whole_batches
from ccafl_plugin.integration.changes import Change, new_item, set_attribute
from ccafl_plugin.integration.torchreid_layout import attribute, require_parameters
from ccafl_plugin.synthetic.dataset import build_synthetic_persons
from ccafl_plugin.utils.errors import CCAFLError

DATASETS: dict[str, Callable[[ModuleType], type]] = {
    "synthetic_persons": build_synthetic_persons,
    "msmt17_trainval": build_msmt17_trainval,
    "folder": build_folder,
    "tracks": build_tracks,
}
"""Name of each of the plugin's datasets -> the function that builds its class."""


def dataset_changes() -> list[Change]:
    """The plugin's datasets among torchreid's image datasets."""
    registry = attribute("data.datasets", "__image_datasets", dict)
    attribute("data", "ImageDataset", type)  # the datasets subclass it
    changes = []
    for name, build in DATASETS.items():
        dataset = build(torchreid)
        make_importable(dataset, sys.modules[build.__module__])
        changes.append(new_item(registry, "dataset", name, dataset))
    return changes


def make_importable(dataset: type, module: ModuleType) -> None:
    """Makes a class that a function has created importable from a module.

    Data workers that are not forked get pickled datasets, and import the class by its name.
    """
    dataset.__module__, dataset.__qualname__ = module.__name__, dataset.__name__
    setattr(module, dataset.__name__, dataset)


def _loaders_of(manager: Any) -> Iterator[DataLoader]:
    """All loaders of a data manager."""
    yield from filter(None, (manager.train_loader, manager.train_loader_t))
    for loaders in manager.test_loader.values():
        yield from loaders.values()


def manager_changes() -> list[Change]:
    """``ImageDataManager`` keeps batches of samplers with ``variable_batches`` whole; workers import this package."""
    manager = attribute("data.datamanager", "ImageDataManager", type)
    original = manager.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.train_loader = whole_batches(self.train_loader)
        if self.train_loader_t is not None:
            self.train_loader_t = whole_batches(self.train_loader_t)
        for loader in _loaders_of(self):
            loader.worker_init_fn = start_worker

    return [set_attribute(manager, "__init__", __init__)]


def damage_training_set(datamanager: Any, noise: LabelNoise, seed: int, sampler: Mapping[str, Any]) -> None:
    """Damages the training labels of a data manager and creates its training loader again.

    For diagnostics, the dataset's ``true_person`` maps new identities to true persons, and its ``right_persons`` are
    the persons of the images.

    Args:
        datamanager: torchreid's ``ImageDataManager``.
        noise: the damage; nothing is done if it is empty.
        seed: seed of the random draws.
        sampler: arguments of torchreid's ``build_train_sampler``, without the training list.
    """
    if not noise:
        return
    old = datamanager.train_loader
    dataset = old.dataset
    before = ProxyLabels.from_tuples(dataset.train)
    right = noise.right_persons(dataset.train, seed)
    dataset.train, dataset.true_person = noise.damage(dataset.train, seed)
    dataset.right_persons = right
    dataset.data = dataset.train
    after = ProxyLabels.from_tuples(dataset.train)
    datamanager._num_train_pids = len({pid for _, pid, _, _ in dataset.train})  # noqa: SLF001  torchreid's only place
    loader = DataLoader(
        dataset,
        sampler=torchreid.data.sampler.build_train_sampler(dataset.train, **sampler),
        batch_size=sampler["batch_size"],
        num_workers=old.num_workers,
        pin_memory=old.pin_memory,
        drop_last=True,
        worker_init_fn=old.worker_init_fn,
    )
    datamanager.train_loader = whole_batches(loader)
    print(
        f"=> Damaged the training labels ({noise}): {before.num_images} images of {before.num_proxies} proxies became "
        f"{after.num_images} images of {after.num_proxies} proxies"
    )


def list_changes() -> list[Change]:
    """Allows torchreid datasets without query and gallery, and test-only datasets without training images.

    The entries of all three lists are checked (:func:`~ccafl_plugin.data.list_entries.checked_entries`).
    """
    dataset = attribute("data.datasets.dataset", "Dataset", type)
    original = dataset.__init__
    require_parameters(original, "train", "query", "gallery", "mode", "combineall", "verbose")
    placeholder = [("", 0, 0, 0)]  # torchreid looks at the first entry of each list

    @functools.wraps(original)
    def __init__(self: Any, train: Any, query: Any, gallery: Any, *args: Any, **kwargs: Any) -> None:
        given, name = {"train": train, "query": query, "gallery": gallery}, type(self).__name__
        lists = {part: checked_entries(entries, part, name) for part, entries in given.items()}
        empty = [part for part, entries in lists.items() if len(entries) == 0]
        if kwargs.get("combineall"):
            _check_combined(name, lists, getattr(self, "_junk_pids", ()))
        if not empty:
            original(self, *lists.values(), *args, **kwargs)
            return
        if "train" in empty and kwargs.get("mode", "train") == "train":
            raise CCAFLError(f"data.sources: {name} has no training images. Name another dataset.")
        verbose = kwargs.pop("verbose", True)
        original(self, *(entries or placeholder for entries in lists.values()), *args, verbose=False, **kwargs)
        for part in empty:
            setattr(self, part, [])
        self.num_train_pids, self.num_train_cams = self.get_num_pids(self.train), self.get_num_cams(self.train)
        self.data = getattr(self, self.mode)
        self.verbose = verbose
        if verbose:
            self.show_summary()

    return [set_attribute(dataset, "__init__", __init__)]


def _check_combined(name: str, lists: Mapping[str, Sequence[Any]], junk: Sequence[int]) -> None:
    """Checks what ``combineall`` takes for granted: torchreid numbers the people of the gallery only."""
    if not lists["query"] or not lists["gallery"]:
        raise CCAFLError(f"data.combineall: {name} has no query and gallery to add. Set it to False.")
    people = {entry[1] for entry in lists["gallery"]}
    for path, person, *_ in lists["query"]:
        if person not in people and person not in junk:
            raise CCAFLError(
                f"data.combineall: person {person} of the query {path} is not in {name}'s gallery, so torchreid has no "
                "number for it. Add gallery images of this person, remove the query, or set it to False."
            )


def msmt17_changes() -> list[Change]:
    """torchreid's ``msmt17`` reads its lists as ``msmt17_trainval`` does."""
    msmt17 = attribute("data.datasets.image.msmt17", "MSMT17", type)
    original = msmt17.process_dir
    require_parameters(original, "dir_path", "list_path")

    @functools.wraps(original)
    def process_dir(self: Any, dir_path: str, list_path: str) -> Tuples:  # noqa: ARG001
        return read_msmt17_list(Path(list_path), Path(dir_path))

    return [set_attribute(msmt17, "process_dir", process_dir)]
