"""Memories of unit features. They are rebuilt at the start of every epoch; only ``fill`` and ``update`` write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.losses.grouping import unit_group_means
from ccafl_plugin.utils.dtypes import full_precision
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.paper_values import INSTANCES, MOMENTUM

COPIED_AT_ONCE = 256  # proxies; limits the temporary copy while a memory is filled


class CameraRows(NamedTuple):
    """The part of a batch that comes from one camera."""

    camera: int
    of_camera: slice  # rows of the camera's proxies in the memory; a slice copies nothing
    rows: Tensor  # (n,) int64, positions in the batch, ascending
    local: Tensor  # (n,) int64, camera-local labels of these images


class HybridMemory(nn.Module):
    """Centroids and instances of every proxy, for learning inside the cameras (the paper's hybrid memory).

    The buffers are not persistent: they are rebuilt from features at the start of each epoch, which is the only point
    where a run resumes. They would add a gigabyte to every checkpoint.

    Args:
        proxies_per_camera: (C,) number of proxies of each camera; proxies are numbered camera by camera.
        dim: D, the dimension of the features.
        instances: K, stored features per proxy; 32 in the released settings.
        momentum: share of the old centroid in an update; 0.1 in the released settings.

    Raises:
        CCAFLError: a size below 1, or a momentum outside [0, 1].
    """

    centroids: Tensor  # (N, D) unit rows
    instances: Tensor  # (N, K, D) unit rows
    camera_of_proxy: Tensor  # (N,) int64
    offsets: Tensor  # (C,) int64, first proxy of each camera

    def __init__(
        self,
        proxies_per_camera: Sequence[int] | Tensor,
        dim: int,
        instances: int = INSTANCES,
        momentum: float = MOMENTUM,
    ) -> None:
        super().__init__()
        sizes = torch.as_tensor(proxies_per_camera, dtype=torch.int64, device="cpu")
        if sizes.ndim != 1 or sizes.numel() == 0 or int(sizes.min()) < 1 or dim < 1 or instances < 1:
            raise CCAFLError(
                "HybridMemory needs at least one camera, one proxy per camera, one instance and one dimension, "
                f"got proxies_per_camera={sizes.tolist()}, instances={instances}, dim={dim}."
            )
        _check_momentum(momentum)
        self.momentum = momentum
        self._sizes: list[int] = sizes.tolist()
        # Copies on the host, where batches are split: no device sync when the labels are on the host too.
        self._host_camera = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        self._host_offsets = sizes.cumsum(0) - sizes
        for name, value in (
            ("centroids", torch.zeros(len(self._host_camera), dim)),
            ("instances", torch.zeros(len(self._host_camera), instances, dim)),
            ("camera_of_proxy", self._host_camera.clone()),
            ("offsets", self._host_offsets.clone()),
        ):
            self.register_buffer(name, value, persistent=False)

    @property
    def num_cameras(self) -> int:
        """C, the number of cameras in the training set."""
        return len(self._sizes)

    def camera_slice(self, camera: int) -> slice:
        """The rows of a camera's proxies; a slice of the buffers copies nothing."""
        start = int(self._host_offsets[camera])
        return slice(start, start + self._sizes[camera])

    def split(self, proxies: Tensor) -> list[CameraRows]:
        """Splits a batch by camera, cameras ascending; the index tensors are on the memory's device.

        Args:
            proxies: (B,) int64 in [0, N), best on the host; labels on a GPU cost one device sync.
        """
        proxies = self._checked(proxies)
        camera = self._host_camera[proxies]
        order = torch.argsort(camera, stable=True)
        present, counts = torch.unique(camera, return_counts=True)
        local = proxies - self._host_offsets[camera]
        rows, local = torch.stack([order, local[order]]).to(self.centroids.device, non_blocking=True)
        sizes = counts.tolist()
        return [
            CameraRows(camera, self.camera_slice(camera), *indices)
            for camera, *indices in zip(present.tolist(), rows.split(sizes), local.split(sizes), strict=True)
        ]

    @full_precision
    @torch.no_grad()
    def fill(self, features: Tensor, proxies: Tensor, generator: torch.Generator | None = None) -> None:
        """Builds the memory from the features of the whole training set.

        Centroids are normalised mean features. Instances are drawn with replacement from the features of their proxy.

        Args:
            features: (M, D) float, unit rows, on any device.
            proxies: (M,) int64 in [0, N); every proxy must have an image.
            generator: CPU generator for the draw; None takes torch's global one.

        Raises:
            CCAFLError: a label out of range, or a proxy without an image.
        """
        proxies = self._checked(proxies)
        num_proxies, slots, _ = self.instances.shape
        self.centroids.copy_(unit_group_means(features, proxies, num_proxies))
        counts = torch.bincount(proxies, minlength=num_proxies)[:, None]
        starts = counts.cumsum(0) - counts
        chances = torch.rand(num_proxies, slots, generator=generator, dtype=torch.float64)
        drawn = torch.minimum((chances * counts).long(), counts - 1)  # the product may round up to the count
        images = torch.argsort(proxies, stable=True)[starts + drawn].to(features.device)
        for first in range(0, num_proxies, COPIED_AT_ONCE):
            some = slice(first, first + COPIED_AT_ONCE)
            self.instances[some].copy_(features[images[some]])

    @full_precision
    @torch.no_grad()
    def update(self, features: Tensor, proxies: Tensor) -> None:
        """Writes a batch into the memory (docs/method.md (16)); call it after the backward pass.

        ``centroid <- normalize(momentum * centroid + (1 - momentum) * mean of the batch's features of the proxy)``. The
        proxy's features, in batch order, overwrite its first instances.

        Args:
            features: (B, D) float, unit rows.
            proxies: (B,) int64 in [0, N), best on the host; labels on a GPU cost one device sync.

        Raises:
            CCAFLError: a proxy has more images in the batch than the memory has instances of it.
        """
        proxies = self._checked(proxies)
        if proxies.numel() == 0:
            return
        slots = self.instances.shape[1]
        features = features.detach().to(self.centroids)
        present, group, counts = torch.unique(proxies, return_inverse=True, return_counts=True)
        if int(counts.max()) > slots:
            worst = int(counts.argmax())
            raise CCAFLError(
                f"proxy {int(present[worst])} has {int(counts[worst])} images in a batch, but the memory has {slots} "
                "instances per proxy: use fewer images per proxy, or more instances."
            )
        order = torch.argsort(group, stable=True)
        slot = torch.empty_like(order)
        slot[order] = torch.arange(len(order)) - (counts.cumsum(0) - counts)[group[order]]  # place within the proxy
        present, counts = torch.stack([present, counts]).to(self.centroids.device, non_blocking=True)
        group, proxies, slot = torch.stack([group, proxies, slot]).to(self.centroids.device, non_blocking=True)
        means = _sums(features, group, len(present)) / counts[:, None]
        moved = self.momentum * self.centroids[present] + (1 - self.momentum) * means
        self.centroids[present] = F.normalize(moved, dim=1)
        self.instances[proxies, slot] = features

    def _checked(self, proxies: Tensor) -> Tensor:
        """Labels moved to the host, after a check of their range."""
        proxies = proxies.detach().to("cpu", torch.int64)
        _check_range("proxies", proxies, 0, len(self._host_camera))
        return proxies


class ClusterMemory(nn.Module):
    """One centre per pseudo identity, for learning across cameras.

    The buffer is not persistent; it is rebuilt at the start of each epoch.

    Args:
        num_clusters: K, number of pseudo identities, at least 1.
        dim: D, the dimension of the features.
        momentum: share of the old centre in an update; 0.1 in the released settings.

    Raises:
        CCAFLError: a size below 1, or a momentum outside [0, 1].
    """

    centroids: Tensor  # (K, D) unit rows

    def __init__(self, num_clusters: int, dim: int, momentum: float = MOMENTUM) -> None:
        super().__init__()
        if num_clusters < 1 or dim < 1:
            raise CCAFLError(f"ClusterMemory needs at least one cluster and dimension, got {num_clusters} x {dim}.")
        _check_momentum(momentum)
        self.momentum = momentum
        self.register_buffer("centroids", torch.zeros(num_clusters, dim), persistent=False)

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, momentum: float = MOMENTUM) -> ClusterMemory:
        """Creates a filled memory, in float32 on the features' device.

        Args:
            features: (M, D) float, unit rows.
            labels: (M,) int64, the images' pseudo identities, numbered from 0 without gaps; -1 for none.
            momentum: share of the old centre in an update; 0.1 in the released settings.

        Raises:
            CCAFLError: no image has a pseudo identity, or one of them has no image.
        """
        memory = cls(int(labels.max()) + 1, features.shape[1], momentum).to(features.device)
        memory.fill(features, labels)
        return memory

    @torch.no_grad()
    def fill(self, features: Tensor, labels: Tensor) -> None:
        """Sets each centre to the normalised mean feature over all images of the pseudo identity.

        Args:
            features: (M, D) float, unit rows, on any device.
            labels: (M,) int64 in [-1, K), the images' pseudo identities; -1 for none.

        Raises:
            CCAFLError: a label out of range, or a pseudo identity without an image.
        """
        self.centroids.copy_(unit_group_means(features, labels, self.centroids.shape[0]))

    @full_precision
    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Writes a batch into the memory (docs/method.md (20)); call it after the backward pass.

        ``centre <- normalize(momentum * centre + (1 - momentum) * x)``, once for every pseudo identity in the batch. x
        is the pseudo identity's feature in the batch that is least similar to the old centre (the first one on ties).

        Args:
            features: (B, D) float, unit rows.
            labels: (B,) int64 in [-1, K), best on the host; labels on a GPU cost one device sync. Images labelled -1
                are skipped.
        """
        labels = labels.detach().to("cpu", torch.int64)
        _check_range("labels", labels, -1, self.centroids.shape[0])
        kept = (labels >= 0).nonzero()[:, 0]
        if kept.numel() == 0:
            return
        device = self.centroids.device
        kept, labels = torch.stack([kept, labels[kept]]).to(device, non_blocking=True)
        features = features.detach().to(self.centroids)[kept]
        similarity = (features * self.centroids[labels]).sum(1)  # row by row, so equal rows give bit-equal results
        order = torch.argsort(similarity, stable=True)
        order = order[torch.argsort(labels[order], stable=True)]  # by label, then similarity, then place in the batch
        labels = labels[order]
        place = torch.arange(len(order), device=device)
        is_first = torch.cat([place[:1] == 0, labels[1:] != labels[:-1]])
        hardest = features[order[torch.where(is_first, place, 0).cummax(0).values]]
        # One row per image; the images of one pseudo identity write equal values.
        moved = self.momentum * self.centroids[labels] + (1 - self.momentum) * hardest
        self.centroids[labels] = F.normalize(moved, dim=1)


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum <= 1:
        raise CCAFLError(f"momentum must lie in [0, 1], got {momentum}.")


def _check_range(what: str, labels: Tensor, low: int, high: int) -> None:
    if labels.numel() and not low <= int(labels.min()) <= int(labels.max()) < high:
        raise CCAFLError(f"{what} must lie in [{low}, {high}), got {int(labels.min())} to {int(labels.max())}.")


def _sums(features: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Sum of the rows of each group, as a product with a 0/1 matrix: batches are small, the order of sums is fixed."""
    belongs = group[:, None] == torch.arange(num_groups, device=group.device)
    return belongs.T.to(features.dtype) @ features
