"""Extracts features of all training images, in the order of their paths, with the test transform."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Normalize, PILToTensor, Resize, ToTensor

from ccafl_plugin.data.image_reading import served, start_worker
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.encoder_pass import ImageTransfer, autocast
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError
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
        memory: MB that the images may take, H x W x 3 bytes each; 0: they are read again every time.

    Attributes:
        paths: (M,) the images' paths, in their order.
    """

    def __init__(self, datamanager: Any, labels: ProxyLabels, memory: int = 0) -> None:
        train_loader = datamanager.train_loader
        first_test = next(iter(datamanager.test_loader.values()))["query"] if datamanager.test_loader else None
        dataset = copy.copy(train_loader.dataset)
        dataset.transform, self._finish = split_transform(datamanager.transform_te)
        dataset.k_tfm = 1
        self.loader = DataLoader(
            dataset,
            batch_size=first_test.batch_size if first_test is not None else 100,
            sampler=labels.path_order.tolist(),
            num_workers=train_loader.num_workers,
            pin_memory=train_loader.pin_memory,
            drop_last=False,
            worker_init_fn=start_worker,
        )
        self.memory = memory
        self._kept: list[Tensor] | None = None
        self.paths = [dataset.train[image][0] for image in labels.path_order.tolist()]
        test = getattr(datamanager.transform_te, "transforms", [])
        only_resized = len(test) > 1 and isinstance(test[1], ToTensor)
        self._training_resizes_alike = only_resized and (
            _resizing(train_loader.dataset.transform) == _resizing(datamanager.transform_te)
        )

    def encode(
        self, encode: Callable[[Tensor], Tensor], device: torch.device, dtype: torch.dtype | None = None
    ) -> Tensor:
        """(M, D) float32, see :func:`extract`."""
        return extract(self._batches(), lambda images: encode(self._finish(images)), device, dtype)

    def served_to_training(self) -> AbstractContextManager[None]:
        """Context in which the training loader gets kept images instead of files, if it resizes files the same way.

        An image that already has the right size is not resized again, so batches are bit-equal.
        """
        if self._kept is None or not self._training_resizes_alike:
            return nullcontext()
        images = (image for batch in self._kept for image in batch)
        return served(dict(zip(self.paths, images, strict=True)))

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        total = len(self.loader.sampler)  # type: ignore[arg-type]  # a list
        return watched(self._read(), total, "images", "Training features", lambda batch: len(batch["img"]))

    def _read(self) -> Iterator[dict[str, Tensor]]:
        if self._kept is not None:
            yield from ({"img": images} for images in self._kept)
            return
        kept: list[Tensor] = []
        fits = False
        for batch in self.loader:
            images = batch["img"]
            if not kept:
                fits = images.dtype == torch.uint8 and images[0].nbytes * len(self.paths) <= self.memory * MB
            if fits:
                # Batches of workers are in shared memory, which is scarce, and pinned memory may be lost in the fork of
                # the workers that read it. So kept images are copied.
                kept.append(images.clone())
            yield batch
        if fits:
            self._kept = kept


def _resizing(transform: Any) -> Any:
    """The settings of the first step if it is ``Resize``; otherwise an object that equals nothing."""
    first = next(iter(getattr(transform, "transforms", [])), None)
    if not isinstance(first, Resize) or isinstance(first.size, int):  # one number keeps the picture's proportions
        return object()
    return list(first.size), first.interpolation, first.antialias


def split_transform(transform: Any) -> tuple[Any, Callable[[Tensor], Tensor]]:
    """Splits a test transform in two: from image to bytes, and from batches of bytes to the result of the transform.

    Args:
        transform: transform of one image; torchreid's is ``Compose([Resize, ToTensor, Normalize])``.

    Returns:
        The transform to (3, H, W) uint8, and a function from (B, 3, H, W) uint8 to float32. Another kind of transform
        is not split, and the function returns its input.
    """
    steps = list(getattr(transform, "transforms", []))
    places = [place for place, step in enumerate(steps) if isinstance(step, ToTensor)]
    if len(places) != 1 or not all(isinstance(step, Normalize) for step in steps[places[0] + 1 :]):
        return transform, lambda images: images
    return Compose([*steps[: places[0]], PILToTensor()]), _Finish(steps[places[0] + 1 :])


class _Finish:
    """``ToTensor`` and the following ``Normalize`` steps, for a batch of bytes.

    ``Normalize`` copies its numbers to the device for every batch, and waits for the check that no deviation is 0. This
    class copies them once.

    Args:
        normalizes: the ``Normalize`` steps, in their order.

    Raises:
        CCAFLError: a deviation is 0.
    """

    def __init__(self, normalizes: Sequence[Normalize]) -> None:
        numbers = [(each.mean, each.std) for each in normalizes]
        self._numbers = [[torch.tensor(list(values)).view(-1, 1, 1) for values in pair] for pair in numbers]
        if any(bool((std == 0).any()) for _, std in self._numbers):
            raise CCAFLError("data.norm_std: a standard deviation must not be 0. Set a positive number.")

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32, bit-equal to torchvision's result."""
        self._numbers = [[values.to(images.device) for values in pair] for pair in self._numbers]
        images = images.float().div_(255)
        for mean, std in self._numbers:
            images = images.sub_(mean).div_(std)
        return images


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


def training_features(datamanager: Any, model: nn.Module, labels: ProxyLabels) -> tuple[Tensor, Tensor]:
    """Features of all training images with the test transform, for memories and associations.

    It is for your own engines; ``ImageCCAFLEngine`` does the same at the start of every epoch. The model is in eval
    mode during the extraction.

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
