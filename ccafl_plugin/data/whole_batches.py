"""Keeps batches of unequal size whole in a data loader."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader


def whole_batches(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A loader in which each batch of the sampler is one batch.

    torchreid splits a sampler's indices into batches of equal size. If a sampler has smaller batches (for a camera with
    few proxies), this would mix the end of one batch with the start of the next.

    Returns:
        The loader itself if its sampler has no ``variable_batches``.
    """
    sampler: Any = loader.sampler
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
