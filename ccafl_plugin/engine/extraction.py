"""Features of all training images, in the order of their paths, with the test transform."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader


def extraction_loader(
    train_loader: DataLoader, order: Sequence[int], transform: Callable, batch_size: int
) -> DataLoader:
    """A loader over the same training images, once each, with another transform.

    Args:
        train_loader: torchreid's training loader.
        order: the positions in the training list in the order wanted.
        transform: torchreid's test transform (``datamanager.transform_te``).
        batch_size: images per batch.
    """
    dataset = copy.copy(train_loader.dataset)
    dataset.transform = transform
    dataset.k_tfm = 1
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=order,
        num_workers=train_loader.num_workers,
        pin_memory=train_loader.pin_memory,
        drop_last=False,
    )


@torch.no_grad()
def extract(loader: DataLoader, encode: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """Runs ``encode`` over a loader.

    Args:
        loader: yields torchreid's batches (dicts with ``img``).
        encode: (B, 3, H, W) images to (B, D) features; the caller has set the model's mode.
        device: where images go and features stay.

    Returns:
        (M, D) float32, row i belongs to the loader's i-th image.
    """
    rows = [encode(batch["img"].to(device, non_blocking=True)).float() for batch in loader]
    return torch.cat(rows)
