"""Which rows of a batch and of a memory belong to which camera, so that one call computes all cameras together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.losses.memory import CameraRows


class CameraLayout(NamedTuple):
    """Describes a batch whose images are sorted by camera and a memory whose proxies are sorted by camera.

    A loss inside the cameras runs camera by camera only where it multiplies with the memory. Everything else is small
    and runs once for the whole batch: separate operations for each camera took a fifth of a training step.
    """

    images: list[int]  # number of images of each camera present
    proxies: list[slice]  # rows in the memory of each camera present
    first: Tensor  # (B,) int64, first proxy of each image's camera
    share: Tensor  # (B,) float, 1 / images of the image's camera: sums become means of a camera's images

    @classmethod
    def of(cls, cameras: Sequence[CameraRows], like: Tensor) -> CameraLayout:
        """The layout of the parts of a batch, in their order; ``share`` has the dtype and device of ``like``."""
        images = [len(part.rows) for part in cameras]
        first = torch.cat([torch.full_like(part.local, part.of_camera.start) for part in cameras])
        share = _for_each_image([1 / count for count in images], images, like)
        return cls(images, [part.of_camera for part in cameras], first, share)

    @classmethod
    def of_one_camera(cls, local: Tensor, num_proxies: int, like: Tensor) -> CameraLayout:
        """The layout when every image and every memory row is of one camera; ``local`` (B,): their labels, B > 0."""
        count = local.numel()
        share = _for_each_image([1 / count], [count], like)
        return cls([count], [slice(0, num_proxies)], torch.zeros_like(local), share)

    def table(self, product: Callable[[Tensor, slice, Tensor], Tensor], features: Tensor, local: Tensor) -> Tensor:
        """Compares each camera's images with the camera's proxies.

        Args:
            product: takes a camera's features (n, D), its rows in the memory and its images' labels (n,); returns
                (n, N_c).
            features: (B, D).
            local: (B,) int64, camera-local labels.

        Returns:
            (B, largest N_c); -inf, so probability 0, in the columns that a camera with fewer proxies does not have.
        """
        parts = zip(torch.split(features, self.images), self.proxies, torch.split(local, self.images), strict=True)
        products = [product(*part) for part in parts]
        width = max(part.shape[1] for part in products)
        return torch.cat([F.pad(part, (0, width - part.shape[1]), value=-torch.inf) for part in products])

    def for_each_image(self, of_cameras: Sequence[float]) -> Tensor:
        """(B,) each camera's number, repeated for its images; built on the host, so nothing waits for the device."""
        return _for_each_image(of_cameras, self.images, self.share)


def _for_each_image(of_cameras: Sequence[float], images: Sequence[int], like: Tensor) -> Tensor:
    values = [value for value, count in zip(of_cameras, images, strict=True) for _ in range(count)]
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)
