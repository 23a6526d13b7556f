"""Data loaders over the same batches as another loader, with another content, and over images in files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torchreid
from torch.utils.data import DataLoader

from ccafl_plugin.data.image_reading import start_worker


def loader_like(
    loader: DataLoader[Any],
    dataset: Any,
    *,
    collate: Callable[[Any], Any] | None = None,
    in_process: bool = False,
    batches: Any = None,
) -> DataLoader[Any]:
    """A loader that takes its batches from the sampler of another one, with another dataset.

    Args:
        loader: the other loader; not changed.
        dataset: the dataset to load.
        collate: makes a batch of items; None: as the other loader.
        in_process: no data workers and no pinned memory, for a dataset that reads nothing.
        batches: a batch sampler in the place of the other loader's.
    """
    if batches is not None or loader.batch_size is None:
        taken: dict[str, Any] = {"batch_sampler": loader.batch_sampler if batches is None else batches}
    else:
        taken = {"sampler": loader.sampler, "batch_size": loader.batch_size, "drop_last": loader.drop_last}
    workers = 0 if in_process else loader.num_workers
    with_workers: dict[str, Any] = {}
    if workers:
        with_workers = {
            "prefetch_factor": loader.prefetch_factor,
            "persistent_workers": loader.persistent_workers,
            "multiprocessing_context": loader.multiprocessing_context,
            "timeout": loader.timeout,
        }
    return DataLoader(
        dataset,
        **taken,
        num_workers=workers,
        collate_fn=loader.collate_fn if collate is None else collate,
        pin_memory=loader.pin_memory and not in_process,
        worker_init_fn=loader.worker_init_fn,
        generator=loader.generator,
        **with_workers,
    )


def with_transform(loader: DataLoader[Any], transform: Any) -> DataLoader[Any]:
    """A loader over the same batches whose images go through another transform; ``loader`` is not changed."""
    dataset: Any = copy.copy(loader.dataset)
    dataset.transform = transform
    return loader_like(loader, dataset)


def loader_of_images(datamanager: Any, paths: Sequence[str], batch_size: int) -> DataLoader[Any]:
    """A loader of images in files, in their order, as a test reads them.

    Args:
        datamanager: torchreid's ``ImageDataManager``; it has the test transform and the number of data workers.
        paths: image files.
        batch_size: number of images in a batch.
    """
    entries = [(path, 0, 0, 0) for path in paths]
    return DataLoader(
        torchreid.data.ImageDataset(
            entries, entries, entries, transform=datamanager.transform_te, mode="query", verbose=False
        ),
        batch_size=batch_size,
        num_workers=datamanager.train_loader.num_workers,
        worker_init_fn=start_worker,
    )
