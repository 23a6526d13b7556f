"""How far what was exported is from the model: the largest difference, and for narrow types the cosine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import Compose, InterpolationMode, Resize, ToTensor

from ccafl_plugin.features.image_inputs import as_rgb, images_of
from ccafl_plugin.models.weights_description import WeightsDescription
from ccafl_plugin.utils.seeds import generator

BATCHES = (1, 2, 7, 30)
"""Batch sizes at which what was written is compared with the model."""
TOLERANCE = 1e-4
"""The largest difference that is allowed in float32. Features have length 1."""

Run = Callable[[Tensor], Tensor]


def random_pictures(count: int, height: int, width: int, seed: int = 1) -> Tensor:
    """(count, 3, height, width) float32 in [0, 1]: smooth random colours, where there are no images to try."""
    coarse = torch.rand(count, 3, 8, 4, generator=generator(seed, "pictures to try an export"))
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


def pictures_in(folder: str, description: WeightsDescription, most: int) -> Tensor:
    """(n, 3, height, width) float32 in [0, 1]: images of a folder, at most so many, spread over it.

    Raises:
        CCAFLError: it is no folder, holds no image, or one that can't be read.
    """
    files = images_of(folder)
    chosen = [files[place] for place in np.unique(np.linspace(0, len(files) - 1, most).astype(int))]
    size, mode = (description.height, description.width), InterpolationMode(description.interpolation)
    transform = Compose([Resize(size, mode), ToTensor()])
    return torch.stack([transform(as_rgb(file)) for file in chosen])


def inputs_of(pictures: Tensor, mean: tuple[float, ...], std: tuple[float, ...], count: int) -> Tensor:
    """(count, 3, H, W) inputs of a graph from pixels in [0, 1]; pictures are repeated if there are too few."""
    places = list(islice(cycle(range(len(pictures))), count))
    numbers = [torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std)]
    return (pictures[places] - numbers[0]) / numbers[1]


def largest_difference(reference: Tensor, run: Run, inputs: Tensor, batches: tuple[int, ...] = BATCHES) -> float:
    """The largest difference of a number of a feature, over all batch sizes; infinite if one is not finite.

    Args:
        reference: (n, D) features of ``inputs`` by the model.
        run: what was exported.
        inputs: (n, 3, H, W), n at least the largest batch size.
        batches: batch sizes; of each, the first so many inputs are run.
    """
    worst = 0.0
    for size in batches:
        difference = float((run(inputs[:size]) - reference[:size]).abs().max())
        worst = max(worst, difference if np.isfinite(difference) else np.inf)
    return worst


@dataclass(frozen=True)
class Closeness:
    """How close features of a narrow type are to those in float32.

    Attributes:
        mean_cosine: of an image's two features.
        least_cosine: of the worst image.
        similarity_change: the largest change of the cosine of two different images.
        images: how many.
    """

    mean_cosine: float
    least_cosine: float
    similarity_change: float
    images: int

    def __str__(self) -> str:
        return (
            f"cosine to float32 {self.mean_cosine:.5f} on average, {self.least_cosine:.5f} at worst; similarities "
            f"of two images change by {self.similarity_change:.1g} at most ({self.images} images)"
        )


def closeness(reference: Tensor, narrow: Tensor) -> Closeness:
    """Compares features row by row.

    Args:
        reference: (n, D) float32, rows of length 1.
        narrow: (n, D), rows of any length.
    """
    wide, other = F.normalize(reference.double(), dim=1), F.normalize(narrow.double(), dim=1)
    cosines = (wide * other).sum(dim=1)
    change = (wide @ wide.T - other @ other.T).abs().fill_diagonal_(0)
    return Closeness(float(cosines.mean()), float(cosines.min()), float(change.max()), len(wide))
