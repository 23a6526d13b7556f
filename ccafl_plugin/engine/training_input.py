"""The images of training batches: loaded as bytes, from files or from memory, and augmented on the model's device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ccafl_plugin.data.augmentation import augmentation_of
from ccafl_plugin.data.loaders import with_transform
from ccafl_plugin.engine.encoder_pass import ImageTransfer
from ccafl_plugin.engine.extraction import TrainingImages
from ccafl_plugin.engine.shared_loading import epoch_loader
from ccafl_plugin.utils.distributed import num_processes, own_images


class TrainingInput:
    """Decides where training images are augmented: in batches on the model's device, or one by one in data workers.

    Args:
        loader: the training loader of a data manager; not changed.
        on_device: False: data workers augment all images.
        seed: seed of the run.

    Attributes:
        loader: the loader to train from; its images are bytes if there is an augmentation.
        augmentation: augments batches of bytes; None if data workers augment the images.
    """

    def __init__(self, loader: DataLoader[Any], on_device: bool, seed: int) -> None:
        split = augmentation_of(getattr(loader.dataset, "transform", None)) if on_device else None
        self.loader: Any = loader if split is None else with_transform(loader, split[0])
        self.augmentation = None if split is None else split[1]
        self.seed = seed
        self._wanted = on_device
        self._draws = self.augmentation is None and (on_device or num_processes() > 1)  # else as torchreid does

    def __str__(self) -> str:
        """One line for the log; empty if images are augmented as wanted."""
        if self.augmentation is not None or not self._wanted:
            return ""
        return (
            "Data workers augment the training images, because data.transforms has others than random_flip, pad_crop "
            "and random_erase."
        )

    @contextmanager
    def of_epoch(self, loader: Any, images: TrainingImages, epoch: int) -> Iterator[Any]:
        """Context in which kept images are read from memory instead of files, if there are any.

        Args:
            loader: :attr:`loader`, or one that the engine has in its place.
            images: the training images.
            epoch: number of the epoch, from 0.

        Yields:
            The epoch's loader, see :func:`~ccafl_plugin.engine.shared_loading.epoch_loader`.
        """
        with images.served_to_training():
            taken = loader if self.augmentation is None else images.from_memory(loader)
            yield epoch_loader(taken, self.seed, epoch, draws=self._draws)

    def __call__(
        self,
        images: Tensor,
        transfer: ImageTransfer,
        epoch: int,
        batch: int,
        batch_size: int | None = None,
        rows: slice | None = None,
    ) -> Tensor:
        """The images of a batch as the model takes them; those that a loader has converted to floats are not changed.

        Args:
            images: (n, 3, height, width) from the loader, uint8 or float: this process's images of the batch, or all.
            transfer: copies them to the model's device.
            epoch: number of the epoch, from 0.
            batch: number of the batch in the epoch, from 0.
            batch_size: B, the number of images in the whole batch of all processes; None: n.
            rows: the places of these n images in the whole batch; None: all, or this process's.
        """
        if self.augmentation is None or images.dtype != torch.uint8:
            return images
        batch_size = len(images) if batch_size is None else batch_size
        draws = self.augmentation.draws(self.seed, epoch, batch, batch_size)
        if rows is None:
            rows = slice(None) if len(images) == batch_size else own_images(batch_size)
        return self.augmentation(transfer(images), draws[rows])
