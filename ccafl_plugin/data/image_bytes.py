"""From pictures to bytes, and from batches of bytes to the input of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor

from ccafl_plugin.utils.errors import CCAFLError


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
    return Compose([*steps[: places[0]], PILToTensor()]), Finish(steps[places[0] + 1 :])


class Finish:
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
        self._numbers = [[on_device(values, images) for values in pair] for pair in self._numbers]
        images = images.float().div_(255)
        for mean, std in self._numbers:
            images = images.sub_(mean).div_(std)
        return images


def on_device(values: Tensor, like: Tensor) -> Tensor:
    """``values`` on the device of ``like``, copied without a wait."""
    return values.to(like.device, non_blocking=True)
