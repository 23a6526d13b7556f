"""The training loader of one epoch: every image has random draws of its own, and a process loads its share of a batch.

torchreid's transforms draw from the global generators. Here these are seeded for every image from the run's seed, the
epoch, the batch and the image's place in it. So neither the number of data workers nor that of processes changes a
picture, and the process's own random state stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from ccafl_plugin.data.loaders import loader_like
from ccafl_plugin.utils.distributed import num_processes, own_images
from ccafl_plugin.utils.seeds import derive_seed

LABELS = ("pid", "camid", "impath", "dsetid")
"""Entries of a batch of which every process has all rows."""


class Place(NamedTuple):
    """One image of a batch.

    Attributes:
        image: its position in the training list.
        own: whether this process loads it; else only its labels are needed here.
        seed: of its random draws; None: it has none.
    """

    image: int
    own: bool
    seed: int | None


def epoch_loader(loader: Any, seed: int, epoch: int, draws: bool = True) -> Any:
    """A loader with the same batches, workers and transforms for one epoch, to which its sampler is set.

    Args:
        loader: torchreid's training loader. Anything else than a ``DataLoader`` is returned as it is.
        seed: seed of the run.
        epoch: from 0.
        draws: whether every image has random draws of its own.

    Returns:
        Its batches are torchreid's dicts. With several processes, ``img`` holds the rows
        :func:`~ccafl_plugin.utils.distributed.own_images` of the batch, and all other entries hold all rows.
    """
    if not isinstance(loader, DataLoader) or loader.batch_sampler is None:
        return loader
    sampler: Any = getattr(loader.batch_sampler, "sampler", None)
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    if num_processes() == 1 and not draws:
        return loader
    collate = loader.collate_fn if num_processes() == 1 else _Collate(loader.collate_fn)
    places = _Places(loader.batch_sampler, seed if draws else None, epoch)
    return loader_like(loader, _DrawnAlone(loader.dataset), collate=collate, batches=places)


class NoWriter:
    """Takes the place of TensorBoard's writer in all processes but the first."""

    def add_scalar(self, *_: object) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Has nothing to close."""


class _Places:
    """The batches of a batch sampler as lists of :class:`Place`."""

    def __init__(self, batches: Any, seed: int | None, epoch: int) -> None:
        self.batches, self.seed, self.epoch = batches, seed, epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Place]]:
        for number, batch in enumerate(self.batches):
            own = set(range(len(batch))[own_images(len(batch))])
            yield [Place(image, place in own, self._seed(number, place)) for place, image in enumerate(batch)]

    def _seed(self, batch: int, place: int) -> int | None:
        return None if self.seed is None else derive_seed(self.seed, self.epoch, batch, place, "image")


class _DrawnAlone(Dataset[dict[str, Any]]):
    """torchreid's dataset, asked for :class:`Place` s."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, place: Place) -> dict[str, Any]:
        if not place.own:
            path, pid, camid, dsetid = self.dataset.data[place.image]
            return {"pid": pid, "camid": camid, "impath": path, "dsetid": dsetid}
        with nullcontext() if place.seed is None else seeded(place.seed):
            item: dict[str, Any] = self.dataset[place.image]
        return item


class _Collate:
    """Joins the items of a batch of which this process has loaded some."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        labels = default_collate([{name: item[name] for name in LABELS} for item in items])
        return {**self.collate([item for item in items if "img" in item]), **labels}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which Python's, NumPy's and torch's global generators on the CPU start from a seed.

    Behind it they go on from where they were; in a data worker, where nothing else draws, they are left.
    """
    before = None
    if get_worker_info() is None:
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed asks for GPUs, too
    try:
        yield
    finally:
        if before is not None:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_rng_state(before[2])
