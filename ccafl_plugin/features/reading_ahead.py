"""Batches of model inputs, read in threads while the batch before is computed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def reading_threads(workers: int) -> int:
    """Threads that read images: ``workers``, or for 0 one for each core, at most 8."""
    return workers or min(8, os.cpu_count() or 1)


def read_ahead(images: Sequence[T], read: Callable[[T], Tensor], batch_size: int, workers: int) -> Iterator[Tensor]:
    """Inputs of a model, a batch at a time; when one is given, the next is being read.

    Args:
        images: whatever ``read`` takes.
        read: one image to (3, height, width); it is called in threads.
        batch_size: images of a batch.
        workers: threads.

    Yields:
        (b, 3, height, width), in the order of the images.
    """
    parts = (images[first : first + batch_size] for first in range(0, len(images), batch_size))
    with ThreadPoolExecutor(workers) as readers:
        waiting: deque[list[Future[Tensor]]] = deque()
        try:
            for part in parts:
                waiting.append([readers.submit(read, image) for image in part])
                if len(waiting) > 1:
                    yield _stacked(waiting.popleft())
            while waiting:
                yield _stacked(waiting.popleft())
        finally:
            for reading in (each for part in waiting for each in part):
                reading.cancel()


def _stacked(reading: Sequence[Future[Tensor]]) -> Tensor:
    return torch.stack([each.result() for each in reading])
