"""The proxies of a training list: the labels of intra-camera supervision, computed once.

Identity labels are comparable inside a camera, but not across cameras. A proxy is one (camera, identity) pair. A camera
is (dsetid, camid), because torchreid's camera numbers of joined sources can collide when a source's numbers have gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError

TrainTuple = tuple[str, int, int, int]
"""An entry of a torchreid training list: image path, person id, camera id, dataset id."""


@dataclass(frozen=True, eq=False)
class ProxyLabels:
    """Labels of a training list of M images, C cameras and N proxies. All tensors are int64 on the CPU.

    Cameras are ordered by (dsetid, camid). The proxies of a camera are ordered by their first appearance among the
    camera's images sorted by path, never by identity number. So renaming the identities of each camera by any
    permutation changes no tensor here except ``person_of_proxy``.

    Attributes:
        cameras: the C cameras as (dsetid, camid).
        camera_of_image: (M,), camera number in [0, C).
        local_of_image: (M,), camera-local label in [0, N_c), y in the paper.
        proxy_of_image: (M,), proxy in [0, N): the camera's offset plus the camera-local label.
        camera_of_proxy: (N,), camera number in [0, C), ascending.
        offsets: (C,), first proxy of each camera.
        proxies_per_camera: (C,), N_c.
        person_of_proxy: (N,), the true person, numbered in the order of the proxies. It is a label across cameras,
            for diagnostics and full supervision only.
        path_order: (M,), the images camera by camera, sorted by path in each camera. It does not depend on the order of
            the training list, which for some torchreid datasets is the arbitrary order of the file system.
    """

    cameras: tuple[tuple[int, int], ...]
    camera_of_image: Tensor
    local_of_image: Tensor
    proxy_of_image: Tensor
    camera_of_proxy: Tensor
    offsets: Tensor
    proxies_per_camera: Tensor
    person_of_proxy: Tensor
    path_order: Tensor
    _proxy_of_key: dict[tuple[int, int, int], int] = field(repr=False)
    _images: tuple[tuple[int, ...], ...] = field(repr=False)

    @classmethod
    def from_tuples(cls, train: Sequence[TrainTuple]) -> ProxyLabels:
        """Computes the labels of a torchreid training list (``trainset.train``).

        Args:
            train: (image path, pid, camid, dsetid) of each image.

        Raises:
            CCAFLError: the list is empty.
        """
        if len(train) == 0:
            raise CCAFLError("data.sources: the training set has no images. Name another dataset.")
        camera_keys = [(int(dsetid), int(camid)) for _, _, camid, dsetid in train]
        cameras = tuple(sorted(set(camera_keys)))
        camera_number = {camera: number for number, camera in enumerate(cameras)}
        camera_of_image = [camera_number[key] for key in camera_keys]
        path_order = sorted(range(len(train)), key=lambda i: (camera_of_image[i], train[i][0]))

        proxy_of_key: dict[tuple[int, int, int], int] = {}
        images: list[list[int]] = []
        camera_of_proxy: list[int] = []
        for index in path_order:
            key = (*camera_keys[index], int(train[index][1]))
            if key not in proxy_of_key:
                proxy_of_key[key] = len(images)
                camera_of_proxy.append(camera_of_image[index])
                images.append([])
            images[proxy_of_key[key]].append(index)

        persons: dict[tuple[int, int], int] = {}
        person_of_proxy = [persons.setdefault((dsetid, pid), len(persons)) for dsetid, _, pid in proxy_of_key]

        proxy_of_image = torch.empty(len(train), dtype=torch.int64)
        for proxy, members in enumerate(images):
            proxy_of_image[members] = proxy
        proxies_per_camera = torch.bincount(torch.tensor(camera_of_proxy), minlength=len(cameras))
        offsets = proxies_per_camera.cumsum(0) - proxies_per_camera
        cameras_tensor = torch.tensor(camera_of_image)
        return cls(
            cameras=cameras,
            camera_of_image=cameras_tensor,
            local_of_image=proxy_of_image - offsets[cameras_tensor],
            proxy_of_image=proxy_of_image,
            camera_of_proxy=torch.tensor(camera_of_proxy),
            offsets=offsets,
            proxies_per_camera=proxies_per_camera,
            person_of_proxy=torch.tensor(person_of_proxy),
            path_order=torch.tensor(path_order),
            _proxy_of_key=proxy_of_key,
            _images=tuple(map(tuple, images)),
        )

    @property
    def num_cameras(self) -> int:
        """C, the number of cameras."""
        return len(self.cameras)

    @property
    def num_proxies(self) -> int:
        """N, the sum of the numbers of identities of all cameras."""
        return len(self._images)

    @property
    def num_images(self) -> int:
        """M, the number of images."""
        return len(self.camera_of_image)

    def relabelled(self, proxy_of_image: Tensor) -> ProxyLabels:
        """The same proxies with other images; cameras and true persons stay.

        Args:
            proxy_of_image: (M,) int64, a proxy of the image's camera, or -1 for an image that no proxy has.
        """
        images: list[list[int]] = [[] for _ in range(self.num_proxies)]
        proxies = proxy_of_image.tolist()
        for index in self.path_order.tolist():
            if proxies[index] >= 0:
                images[proxies[index]].append(index)
        local = torch.where(proxy_of_image < 0, -1, proxy_of_image - self.offsets[self.camera_of_image])
        return replace(
            self, proxy_of_image=proxy_of_image, local_of_image=local, _images=tuple(tuple(i) for i in images)
        )

    def images_of_proxy(self, proxy: int) -> tuple[int, ...]:
        """Positions in the training list of the images of ``proxy``, in the order of their paths."""
        return self._images[proxy]

    def proxies_of(
        self, dsetid: Iterable[int] | Tensor, camid: Iterable[int] | Tensor, pid: Iterable[int] | Tensor
    ) -> Tensor:
        """The proxies of one of torchreid's batches.

        Args:
            dsetid: (B,) dataset ids.
            camid: (B,) camera ids.
            pid: (B,) person ids.

        Returns:
            (B,) int64 on the CPU.

        Raises:
            CCAFLError: a triple does not occur in the training list.
        """
        keys = zip(_ints(dsetid), _ints(camid), _ints(pid), strict=True)
        try:
            return torch.tensor([self._proxy_of_key[key] for key in keys], dtype=torch.int64)
        except KeyError as error:
            dataset, camera, person = error.args[0]
            raise CCAFLError(
                f"No training image has dsetid {dataset}, camid {camera}, pid {person}. "
                "These labels belong to another training list."
            ) from None


def _ints(values: Iterable[int] | Tensor) -> list[int]:
    return values.tolist() if isinstance(values, Tensor) else [int(value) for value in values]
