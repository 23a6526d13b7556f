"""The random augmentation of training images as an operation on whole batches of bytes, on any device.

The draws of an image depend on the seed, the epoch, the number of the batch and the image's place in it, and on nothing
else. So neither the number of data workers nor the number of processes that share a batch changes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import Compose, Normalize, PILToTensor, RandomHorizontalFlip, Resize, ToTensor

from ccafl_plugin.data.image_bytes import Finish, on_device
from ccafl_plugin.data.transforms import PadCrop
from ccafl_plugin.utils.seeds import generator

ATTEMPTS = 100
"""Rectangles that random erasing tries until one is smaller than the image; torchreid's number."""

FLIP, TOP, LEFT, ERASED_TOP, ERASED_LEFT, ERASED_HEIGHT, ERASED_WIDTH = range(7)
"""Columns of the draws."""

_CHANCES = 6 + 2 * ATTEMPTS
"""Random numbers for one image."""


@dataclass(frozen=True)
class Erasing:
    """Random erasing with torchreid's distribution (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020).

    Attributes:
        probability: share of the images that lose a rectangle; 0.5 in torchreid.
        smallest, largest: area of the rectangle as a share of the image's, uniform; 0.02 and 0.4 in torchreid.
        ratio: height / width is uniform in [ratio, 1 / ratio]; 0.3 in torchreid.
        values: what the rectangle is filled with after normalisation, one number per channel.
    """

    probability: float
    smallest: float
    largest: float
    ratio: float
    values: tuple[float, ...]


class Augmentation:
    """Horizontal flip, crop of the padded image, conversion to float32, normalisation and random erasing of a batch.

    Args:
        size: (height, width) of the images, in pixels.
        flip: probability of a flip; 0 for none.
        padding: pixels of black on each side before a crop of the original size; 0 for no crop.
        finish: from bytes to normalised float32.
        erasing: random erasing; None for none.
    """

    def __init__(
        self, size: tuple[int, int], flip: float, padding: int, finish: Finish, erasing: Erasing | None
    ) -> None:
        self.size = size
        self.flip = flip
        self.padding = padding
        self.erasing = erasing
        self._finish = finish
        self._fill = torch.tensor([[[0.0]]] * 3 if erasing is None else [[[value]] for value in erasing.values])

    def draws(self, seed: int, epoch: int, batch: int, count: int) -> Tensor:
        """The random draws of a batch; a process that has a part of it takes its rows, such as ``[rank::processes]``.

        Args:
            seed: seed of the run.
            epoch: number of the epoch, from 0.
            batch: number of the batch in the epoch, from 0.
            count: B, number of images in the whole batch of all processes. It does not change the first rows.

        Returns:
            (B, 7) int64 on the CPU: whether the image is flipped, the place of the crop in the padded image (top,
            left), and the erased rectangle (top, left, height, width; height 0 for none).
        """
        chances = torch.rand(
            count, _CHANCES, dtype=torch.float64, generator=generator(seed, epoch, batch, "augmentation")
        )
        drawn = torch.zeros(count, 7, dtype=torch.int64)
        drawn[:, FLIP] = chances[:, 0] < self.flip
        drawn[:, TOP : LEFT + 1] = whole_numbers(chances[:, 1:3], torch.tensor(2 * self.padding))
        if self.erasing is not None and count:
            drawn[:, ERASED_TOP:] = self._rectangles(self.erasing, chances[:, 3:])
        return drawn

    def _rectangles(self, erasing: Erasing, chances: Tensor) -> Tensor:
        """(B, 4) int64: top, left, height and width of the first rectangle that is smaller than the image."""
        height, width = self.size
        sides = chances[:, 3:].view(-1, ATTEMPTS, 2)
        area = _uniform(sides[..., 0], erasing.smallest, erasing.largest) * (height * width)
        ratio = _uniform(sides[..., 1], erasing.ratio, 1 / erasing.ratio)
        heights, widths = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
        fits = (heights < height) & (widths < width)
        first = fits.int().argmax(1, keepdim=True)  # the first of the largest
        heights, widths = heights.gather(1, first), widths.gather(1, first)
        top = whole_numbers(chances[:, 1:2], height - heights)
        left = whole_numbers(chances[:, 2:3], width - widths)
        erased = (chances[:, :1] <= erasing.probability) & fits.any(1, keepdim=True)
        return torch.cat([top, left, heights, widths], dim=1) * erased

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augmented images; bit-equal to torchvision's and torchreid's transforms with the same draws.

        Args:
            images: (B, 3, height, width) uint8 on any device; not changed.
            draws: (B, 7) int64, see :meth:`draws`; best on the CPU, from where they are copied without a wait.

        Returns:
            (B, 3, height, width) float32 on the device of ``images``.
        """
        return self.by_copies(images, draws) if images.device.type == "cpu" else self.by_index(images, draws)

    def by_copies(self, images: Tensor, draws: Tensor) -> Tensor:
        """The result of a call, image by image; a device would wait. On a CPU it is the faster way."""
        rows = draws.tolist()
        return self._erased_one_by_one(self._finish(self._moved_one_by_one(images, rows)), rows)

    def by_index(self, images: Tensor, draws: Tensor) -> Tensor:
        """The result of a call with a few operations on the whole batch; nothing waits for a device."""
        draws = on_device(draws, images)
        return self._erased(self._finish(self._moved(images, draws)), draws)

    def _moved(self, images: Tensor, draws: Tensor) -> Tensor:
        """Flipped and cropped bytes, with black where the crop is outside of the image."""
        if not self.flip and not self.padding:
            return images
        height, width = self.size
        rows = _positions(height, draws) + draws[:, TOP, None] - self.padding
        columns = _positions(width, draws) + draws[:, LEFT, None] - self.padding
        outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None]
        columns = torch.where(draws[:, FLIP, None] > 0, width - 1 - columns, columns)
        pixel = (rows.clamp(0, height - 1) * width)[:, :, None] + columns.clamp(0, width - 1)[:, None]
        taken = images.flatten(2).gather(2, pixel.flatten(1)[:, None].expand(-1, images.shape[1], -1))
        return taken.view_as(images).masked_fill_(outside[:, None], 0)

    def _erased(self, images: Tensor, draws: Tensor) -> Tensor:
        """Normalised images with the values of erasing inside their rectangles."""
        if self.erasing is None:
            return images
        rows = _positions(self.size[0], draws) - draws[:, ERASED_TOP, None]
        columns = _positions(self.size[1], draws) - draws[:, ERASED_LEFT, None]
        in_rows = (rows >= 0) & (rows < draws[:, ERASED_HEIGHT, None])
        in_columns = (columns >= 0) & (columns < draws[:, ERASED_WIDTH, None])
        self._fill = on_device(self._fill, images)
        return torch.where((in_rows[:, :, None] & in_columns[:, None])[:, None], self._fill, images)

    def _moved_one_by_one(self, images: Tensor, draws: list[list[int]]) -> Tensor:
        """The result of :meth:`_moved`."""
        if not self.flip and not self.padding:
            return images
        moved = torch.zeros_like(images)
        for image, result, row in zip(images, moved, draws, strict=True):
            whole = image.flip(-1) if row[FLIP] else image
            places = []
            for pixels, start in zip(self.size, row[TOP : LEFT + 1], strict=True):
                shift = start - self.padding
                first = max(shift, 0)
                last = max(first, min(shift, 0) + pixels)
                places.append((slice(first, last), slice(first - shift, last - shift)))
            (from_rows, to_rows), (from_columns, to_columns) = places
            result[:, to_rows, to_columns] = whole[:, from_rows, from_columns]
        return moved

    def _erased_one_by_one(self, images: Tensor, draws: list[list[int]]) -> Tensor:
        """The result of :meth:`_erased`; ``images`` are changed."""
        for image, row in zip(images, draws, strict=True):
            top, left, height, width = row[ERASED_TOP:]
            if height:
                image[:, top : top + height, left : left + width] = self._fill
        return images


def _positions(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device)


def _uniform(chances: Tensor, low: float, high: float) -> Tensor:
    """From [0, 1) to [low, high), with the arithmetic of Python's ``random.uniform``."""
    return low + (high - low) * chances


def whole_numbers(chances: Tensor, largest: Tensor) -> Tensor:
    """From [0, 1) to the whole numbers 0 .. ``largest``, each as likely as the others; int64."""
    return torch.minimum((chances * (largest + 1)).long(), largest)  # the product may round up to the next number


def augmentation_of(transform: Any) -> tuple[Any, Augmentation] | None:
    """Splits a training transform in two: from one picture to bytes, and the augmentation of batches of bytes.

    Args:
        transform: torchreid's training transform: ``Resize``, then in this order and each if it is wanted
            ``RandomHorizontalFlip``, ``PadCrop``, ``ToTensor``, ``Normalize`` and torchreid's ``RandomErasing``.

    Returns:
        The transform to (3, H, W) uint8 and the augmentation; None for any other transform, which needs pictures.
    """
    steps = list(getattr(transform, "transforms", []))
    if not steps or type(steps[0]) is not Resize or isinstance(steps[0].size, int) or len(steps[0].size) != 2:
        return None
    height, width = steps[0].size
    rest = steps[1:]
    flip = rest.pop(0) if rest and type(rest[0]) is RandomHorizontalFlip else None
    crop = rest.pop(0) if rest and type(rest[0]) is PadCrop else None
    if crop is not None and (crop.height, crop.width) != (height, width):
        return None
    if not rest or type(rest.pop(0)) is not ToTensor:
        return None
    normalizes = []
    while rest and type(rest[0]) is Normalize:
        normalizes.append(rest.pop(0))
    erasing = _erasing_of(rest[0]) if len(rest) == 1 else None
    if rest and erasing is None:
        return None
    augmentation = Augmentation(
        (height, width),
        flip=0.0 if flip is None else float(flip.p),
        padding=0 if crop is None else crop.padding,
        finish=Finish(normalizes),
        erasing=erasing,
    )
    return Compose([steps[0], PILToTensor()]), augmentation


def _erasing_of(step: Any) -> Erasing | None:
    """torchreid's ``RandomErasing``; None for another step, or for numbers that it could not use."""
    names = ("probability", "sl", "sh", "r1", "mean")
    is_torchreids = type(step).__name__ == "RandomErasing" and type(step).__module__.endswith("data.transforms")
    if not is_torchreids or not all(hasattr(step, name) for name in names):
        return None
    found = Erasing(float(step.probability), float(step.sl), float(step.sh), float(step.r1), tuple(step.mean))
    usable = len(found.values) == 3 and 0 <= found.smallest <= found.largest and found.ratio > 0
    return found if usable and math.isfinite(found.largest) else None
