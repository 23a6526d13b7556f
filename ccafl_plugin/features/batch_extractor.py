"""What extractors share, whatever computes their features: reading images, batches, and one tensor of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor

from ccafl_plugin.features.image_inputs import Images, OneImage, as_rgb, listed
from ccafl_plugin.features.reading_ahead import read_ahead
from ccafl_plugin.models.weights_description import Channels, WeightsDescription

BATCH_SIZE = 64
"""Images that extractors give a model at a time, unless they are told otherwise."""


def input_transform(described: WeightsDescription, mean: Channels, std: Channels) -> Compose:
    """From a PIL image to a model's input (3, height, width), as in tests."""
    mode = InterpolationMode(described.interpolation)
    return Compose([Resize((described.height, described.width), mode), ToTensor(), Normalize(mean, std)])


class BatchExtractor:
    """What extractors share, whatever computes the features: reading, batches, and one tensor of all.

    Attributes:
        description: of the weights.
        transform: from a PIL image to the model's input.
        batch_size: images that the model is given at a time.
        workers: threads that read and resize images.
    """

    description: WeightsDescription
    transform: Compose
    batch_size: int
    workers: int

    @property
    def feature_dim(self) -> int:
        """D."""
        return self.description.feature_dim

    def batches(self, images: Sequence[OneImage], *, bgr: bool = False) -> Iterator[Tensor]:
        """Features of single images, ``batch_size`` at a time, while the next images are being read.

        Args:
            images: as in a call, but no folders.
            bgr: as in a call.

        Yields:
            (b, D) float32 on the CPU, in the order of the images.
        """

        def read_input(image: OneImage) -> Tensor:
            made: Tensor = self.transform(as_rgb(image, bgr))
            return made

        for inputs in read_ahead(images, read_input, self.batch_size, self.workers):
            yield self._features(inputs)

    def _of_all(self, images: Images, bgr: bool) -> Tensor:
        """(n, D) float32 on the CPU; (0, D) without an image."""
        rows = list(self.batches(listed(images), bgr=bgr))
        return torch.cat(rows) if rows else torch.empty(0, self.feature_dim)

    def _features(self, inputs: Tensor) -> Tensor:
        """(b, 3, height, width) -> (b, D) float32 on the CPU, rows of length 1."""
        raise NotImplementedError(f"{type(self).__name__}._features")
