"""Features of all training images, in the order of their paths, with the test transform."""

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

MB = 2**20
"""Bytes."""


class TrainingImages:
    """The training images with the test transform, once each, camera by camera in the order of their paths.

    They are read as bytes, so far as the test transform ends as torchreid's does (``ToTensor``, then ``Normalize``),
    and become float32 on the device, where they are encoded. If their bytes fit into ``memory`` they stay there, and
    files are read once for all epochs, for training too. All results are the same to the last bit, kept or not.

    Args:
        datamanager: torchreid's ``ImageDataManager``: training images, test transform, batch size of its tests.
        labels: of the manager's training list.
        memory: MB that the images may take, H x W x 3 bytes each; 0: they are read anew every time.
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
        self._paths = [dataset.train[image][0] for image in labels.path_order.tolist()]
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
        """Inside, the training loader gets what is kept in the place of files, if it would resize them alike.

        A picture that has the wanted size already is not resized again, so batches are the same to the last bit.
        """
        if self._kept is None or not self._training_resizes_alike:
            return nullcontext()
        images = (image for batch in self._kept for image in batch)
        return served(dict(zip(self._paths, images, strict=True)))

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        if self._kept is not None:
            yield from ({"img": images} for images in self._kept)
            return
        kept: list[Tensor] = []
        fits = False
        for batch in self.loader:
            images = batch["img"]
            if not kept:
                fits = images.dtype == torch.uint8 and images[0].nbytes * len(self._paths) <= self.memory * MB
            if fits:
                # A worker's batch lies in shared memory, which is scarce; a pinned one may not survive the fork of the
                # workers that are to read it. What stays is copied.
                kept.append(images.clone())
            yield batch
        if fits:
            self._kept = kept


def _resizing(transform: Any) -> Any:
    """What the first step makes of a picture; for any other step than ``Resize`` something that equals nothing."""
    first = next(iter(getattr(transform, "transforms", [])), None)
    if not isinstance(first, Resize) or isinstance(first.size, int):  # one number keeps the picture's proportions
        return object()
    return list(first.size), first.interpolation, first.antialias


def split_transform(transform: Any) -> tuple[Any, Callable[[Tensor], Tensor]]:
    """A test transform in two: from picture to bytes, and from batches of bytes to what the whole transform gives.

    Args:
        transform: of one picture; torchreid's is ``Compose([Resize, ToTensor, Normalize])``.

    Returns:
        The transform to (3, H, W) uint8, and a function of (B, 3, H, W) uint8 that gives float32. A transform of
        another make stays whole, and the function gives back what it gets.
    """
    steps = list(getattr(transform, "transforms", []))
    places = [place for place, step in enumerate(steps) if isinstance(step, ToTensor)]
    if len(places) != 1 or not all(isinstance(step, Normalize) for step in steps[places[0] + 1 :]):
        return transform, lambda images: images
    return Compose([*steps[: places[0]], PILToTensor()]), _Finish(steps[places[0] + 1 :])


class _Finish:
    """``ToTensor`` and every ``Normalize`` behind it, of a batch of bytes.

    ``Normalize`` itself copies its numbers to the device for every batch and waits for the check that no deviation is
    0. Here they are copied once.

    Args:
        normalizes: in their order.

    Raises:
        CCAFLError: a deviation is 0.
    """

    def __init__(self, normalizes: Sequence[Normalize]) -> None:
        numbers = [(each.mean, each.std) for each in normalizes]
        self._numbers = [[torch.tensor(list(values)).view(-1, 1, 1) for values in pair] for pair in numbers]
        if any(bool((std == 0).any()) for _, std in self._numbers):
            raise CCAFLError("data.norm_std: a standard deviation of 0 can't be divided by.")

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32, to the last bit what torchvision gives."""
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
    """Runs ``encode`` over a loader; on a GPU nothing is waited for.

    Args:
        loader: yields torchreid's batches (dicts with ``img``).
        encode: (B, 3, H, W) images to (B, D) features; the caller has set the model's mode.
        device: where images go and features stay.
        dtype: of mixed precision; None for none.

    Returns:
        (M, D) float32, row i belongs to the loader's i-th image.
    """
    transfer = ImageTransfer(device)
    with autocast(device.type, dtype):
        rows = [encode(transfer(batch["img"])).float() for batch in loader]
    return torch.cat(rows)


def unit_features(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """How a model in eval mode makes retrieval features with unit rows of images.

    Args:
        model: the plugin's own models give unit rows, which a second division could change in their last bits;
            torchreid's give raw features, which are normalised here.

    Returns:
        (B, 3, H, W) images -> (B, D) features.
    """
    if getattr(unwrap(model), "is_ccafl_backbone", False):
        return model
    return lambda images: F.normalize(model(images).float(), dim=1)


def training_features(datamanager: Any, model: nn.Module, labels: ProxyLabels) -> tuple[Tensor, Tensor]:
    """Features of all training images with the test transform: what memories and associations are made of.

    For engines of your own; ``ImageCCAFLEngine`` does the same at the start of every epoch. The model is in eval mode
    meanwhile.

    Args:
        datamanager: torchreid's ``ImageDataManager``.
        model: gives (B, D) features in eval mode.
        labels: of the manager's training list.

    Returns:
        (M, D) float32 on the model's device, unit rows, and (M,) int64 on the CPU, the proxy of each; the images stand
        in the order of ``labels.path_order``.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    features = TrainingImages(datamanager, labels).encode(unit_features(model), device)
    model.train(was_training)
    return features, labels.proxy_of_image[labels.path_order]
