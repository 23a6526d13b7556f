"""Datasets by name, and batches of unequal size in torchreid's data manager."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torchreid
from torch.utils.data import DataLoader

from ccafl_plugin.data.datasets import build_datasets, make_importable
from ccafl_plugin.data.reading import start_worker
from ccafl_plugin.integration.changes import Change, new_item, set_attribute
from ccafl_plugin.integration.layout import attribute


def dataset_changes() -> list[Change]:
    """The plugin's datasets among torchreid's image datasets."""
    registry = attribute("data.datasets", "__image_datasets", dict)
    attribute("data", "ImageDataset", type)  # the datasets subclass it
    datasets = build_datasets(torchreid)
    make_importable(datasets.values())
    return [new_item(registry, "dataset", name, dataset) for name, dataset in datasets.items()]


def whole_batches(loader: DataLoader) -> DataLoader:
    """A loader in which every draw of the sampler is one batch.

    torchreid cuts a sampler's indices into batches of one size. Where a sampler gives smaller batches (a camera with
    few proxies), that would mix the end of one draw with the start of the next.

    Returns:
        The loader itself if its sampler has no ``variable_batches``.
    """
    sampler = loader.sampler
    if not getattr(sampler, "variable_batches", False):
        return loader
    return DataLoader(
        loader.dataset,
        batch_sampler=sampler.batches(),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        generator=loader.generator,
    )


def _loaders_of(manager: Any) -> Iterator[DataLoader]:
    """All loaders of a data manager."""
    yield from filter(None, (manager.train_loader, manager.train_loader_t))
    for loaders in manager.test_loader.values():
        yield from loaders.values()


def manager_changes() -> list[Change]:
    """``ImageDataManager`` keeps the batches of samplers with ``variable_batches`` whole; workers know this package."""
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
