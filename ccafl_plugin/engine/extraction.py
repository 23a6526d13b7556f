"""Extracts features of all training images, in the order of their paths, with the test transform."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torchreid
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Resize, ToTensor

from ccafl_plugin.data.image_bytes import split_transform
from ccafl_plugin.data.image_reading import served, start_worker
from ccafl_plugin.data.loaders import loader_like
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.encoder_pass import ImageTransfer, autocast
from ccafl_plugin.utils.distributed import gather_rows, num_processes, own_share, unwrap
from ccafl_plugin.utils.dtypes import convolutions_like_products
from ccafl_plugin.utils.machine_memory import SHARED_MEMORY, MachineBytes
from ccafl_plugin.utils.progress import watched

MB = 2**20
"""Bytes."""


class TrainingImages:
    """The training images with the test transform, once each, camera by camera in the order of their paths.

    If the test transform ends like torchreid's (``ToTensor``, then ``Normalize``), images are read as bytes and
    converted to float32 on the device that encodes them. If the bytes fit into ``memory``, they are kept, and files are
    read once for all epochs, for training too. Results are bit-equal, whether images are kept or not.

    Args:
        datamanager: torchreid's ``ImageDataManager``; it has the training images, the test transform and the batch
            size.
        labels: labels of the manager's training list.
        memory: MB that the images may take on each machine, H x W x 3 bytes each; 0: they are read again every time.
        shared: whether the processes of a run share the work: each reads and encodes every W-th image, and all of them
            call :meth:`encode` at the same time. If images are kept, the processes of a machine keep them together.

    Attributes:
        paths: (M,) the images' paths, in their order.
    """

    def __init__(self, datamanager: Any, labels: ProxyLabels, memory: int = 0, shared: bool = False) -> None:
        train_loader = datamanager.train_loader
        first_test = next(iter(datamanager.test_loader.values()))["query"] if datamanager.test_loader else None
        dataset = copy.copy(train_loader.dataset)
        dataset.transform, self._finish = split_transform(datamanager.transform_te)
        dataset.k_tfm = 1
        order = labels.path_order.tolist()
        self.paths = [dataset.train[image][0] for image in order]
        self._own = own_share(len(order)) if shared else slice(0, None, 1)
        self.loader = DataLoader(
            dataset,
            batch_size=first_test.batch_size if first_test is not None else 100,
            sampler=order[self._own],
            num_workers=train_loader.num_workers,
            pin_memory=train_loader.pin_memory,
            drop_last=False,
            worker_init_fn=start_worker,
        )
        self.memory = memory
        self.shared = shared
        self._kept: Tensor | None = None
        self._row_of_image = torch.empty_like(labels.path_order)
        self._row_of_image[labels.path_order] = torch.arange(len(order))
        test = getattr(datamanager.transform_te, "transforms", [])
        only_resized = len(test) > 1 and isinstance(test[1], ToTensor)
        self._training_resizes_alike = only_resized and (
            _resizing(train_loader.dataset.transform) == _resizing(datamanager.transform_te)
        )

    def encode(
        self, encode: Callable[[Tensor], Tensor], device: torch.device, dtype: torch.dtype | None = None
    ) -> Tensor:
        """(M, D) float32, see :func:`extract`."""
        if not self.paths[self._own]:
            return gather_rows(None, len(self.paths), device)
        rows = extract(self._batches(), lambda images: encode(self._finish(images)), device, dtype)
        return gather_rows(rows, len(self.paths), device) if self.shared else rows

    def served_to_training(self) -> AbstractContextManager[None]:
        """Context in which the training loader gets kept images instead of files, if it resizes files the same way.

        An image that already has the right size is not resized again, so batches are bit-equal.
        """
        if self._kept is None or not self._training_resizes_alike:
            return nullcontext()
        return served(dict(zip(self.paths, self._kept, strict=True)))

    def from_memory(self, loader: DataLoader[Any]) -> DataLoader[Any]:
        """A loader of the same batches that takes kept images from memory, without data workers.

        Args:
            loader: a loader of the training list whose images are resized bytes, see
                :func:`~ccafl_plugin.data.loaders.with_transform`.

        Returns:
            ``loader`` itself if no images are kept, if it resizes them otherwise, or if its dataset reads images in its
            own way. Batches are bit-equal.
        """
        dataset: Any = loader.dataset
        reads_as_torchreid = type(dataset).__getitem__ is torchreid.data.ImageDataset.__getitem__
        if self._kept is None or not self._training_resizes_alike or not reads_as_torchreid:
            return loader
        return loader_like(
            loader, _Labels(dataset.data), collate=_Gather(self._kept, self._row_of_image, loader), in_process=True
        )

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        total = len(self.loader.sampler)  # type: ignore[arg-type]  # a list
        return watched(self._read(), total, "images", "Training features", lambda batch: len(batch["img"]))

    def _read(self) -> Iterator[dict[str, Tensor]]:
        if self._kept is not None:
            yield from ({"img": images} for images in self._kept[self._own].split(self.loader.batch_size or 1))
            return
        kept: Tensor | None = None
        of_machine: MachineBytes | None = None
        first = 0
        for batch in self.loader:
            images = batch["img"]
            if first == 0 and images.dtype == torch.uint8 and self._fits(images[0].nbytes):
                shape = len(self.paths), *images.shape[1:]
                of_machine = MachineBytes(shape) if self.shared else None
                kept = images.new_empty(shape) if of_machine is None else of_machine.rows
                if of_machine is not None and of_machine.copies > 1:
                    print(
                        f"{SHARED_MEMORY} has no room for the resized training images: each of the {of_machine.copies} "
                        f"processes of this machine keeps a copy, {-(-kept.nbytes // MB)} MB."
                    )
            if kept is not None:
                kept[self._own][first : first + len(images)] = images
            first += len(images)
            yield batch
        if of_machine is not None:
            of_machine.complete()
        self._kept = kept

    def _fits(self, size: int) -> bool:
        """Whether all images fit into the memory; prints a line if they do not. ``size``: bytes of an image."""
        needed = size * len(self.paths)
        if needed > self.memory * MB > 0:
            print(
                f"The resized training images need {-(-needed // MB)} MB, more than extraction_memory {self.memory}: "
                "files are read again in every epoch."
            )
        return needed <= self.memory * MB and (not self.shared or len(self.paths) >= num_processes())


class _Labels(Dataset[dict[str, Any]]):
    """The items of a torchreid dataset with the number of the image in its place."""

    def __init__(self, entries: Sequence[tuple[str, int, int, int]]) -> None:
        self.data = entries

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path, pid, camid, dsetid = self.data[index]
        return {"img": index, "pid": pid, "camid": camid, "impath": path, "dsetid": dsetid}


class _Gather:
    """Collates :class:`_Labels`, with images in the place of their numbers; in pinned memory if the loader pins.

    Args:
        images: (M, 3, H, W) uint8.
        row_of_image: (M,) int64, from the number of an image to its row.
        loader: the loader whose batches are to be made.
    """

    def __init__(self, images: Tensor, row_of_image: Tensor, loader: DataLoader[Any]) -> None:
        self.images = images
        self.row_of_image = row_of_image
        self.collate = loader.collate_fn
        self.pins = loader.pin_memory and torch.cuda.is_available()

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collate(items)
        rows = self.row_of_image[batch["img"]]
        taken = torch.empty(len(rows), *self.images.shape[1:], dtype=self.images.dtype, pin_memory=self.pins)
        return {**batch, "img": torch.index_select(self.images, 0, rows, out=taken)}


def _resizing(transform: Any) -> Any:
    """The settings of the first step if it is ``Resize``; otherwise an object that equals nothing."""
    first = next(iter(getattr(transform, "transforms", [])), None)
    if not isinstance(first, Resize) or isinstance(first.size, int):  # one number keeps the picture's proportions
        return object()
    return list(first.size), first.interpolation, first.antialias


@torch.no_grad()
def extract(
    loader: Iterable[dict[str, Tensor]],
    encode: Callable[[Tensor], Tensor],
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Runs ``encode`` over a loader; on a GPU it does not wait for the device.

    Args:
        loader: yields torchreid's batches (dicts with ``img``).
        encode: (B, 3, H, W) images to (B, D) features; the caller has set the model's mode.
        device: device of the images and features.
        dtype: half-precision type of mixed precision; None for none.

    Returns:
        (M, D) float32; row i is the feature of the loader's i-th image.
    """
    transfer = ImageTransfer(device)
    with autocast(device.type, dtype):
        rows = [encode(transfer(batch["img"])).float() for batch in loader]
    return torch.cat(rows)


def unit_features(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """A function that computes retrieval features with unit rows by a model in eval mode.

    Args:
        model: the plugin's models return unit rows, whose last bits a second normalisation could change; torchreid's
            models return raw features, which are normalised here.

    Returns:
        (B, 3, H, W) images -> (B, D) features.
    """
    if getattr(unwrap(model), "is_ccafl_backbone", False):
        return model
    return lambda images: F.normalize(model(images).float(), dim=1)


@convolutions_like_products()
def training_features(datamanager: Any, model: nn.Module, labels: ProxyLabels) -> tuple[Tensor, Tensor]:
    """Features of all training images with the test transform, for memories and associations.

    It is for your own engines; ``ImageCCAFLEngine`` does the same at the start of every epoch. The model is in eval
    mode during the extraction. With several processes, each that calls it encodes all images.

    Args:
        datamanager: torchreid's ``ImageDataManager``.
        model: returns (B, D) features in eval mode.
        labels: labels of the manager's training list.

    Returns:
        (M, D) float32 on the model's device, unit rows, and (M,) int64 on the CPU, the proxy of each image. Images are
        in the order of ``labels.path_order``.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    features = TrainingImages(datamanager, labels).encode(unit_features(model), device)
    model.train(was_training)
    return features, labels.proxy_of_image[labels.path_order]
