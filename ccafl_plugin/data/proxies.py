"""Who is what proxy: the labels of intra-camera supervision, worked out once from a training list.

Identity labels are comparable inside a camera and mean nothing across cameras. A proxy is one (camera, identity)
pair; a camera is (dsetid, camid), because torchreid numbers the cameras of joined sources by counting them, which
does not keep them apart when a source's camera numbers have holes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError

TrainTuple = tuple[str, int, int, int]
"""An entry of a torchreid training list: image path, person id, camera id, dataset id."""


@dataclass(frozen=True, eq=False)
class ProxyLabels:
    """Labels of a training list of M images, C cameras and N proxies. All tensors are int64 on the CPU.

    Cameras are ordered by (dsetid, camid). The proxies of a camera are ordered by their first appearance among the
    camera's images sorted by path, never by identity number: renaming the identities of each camera by any
    permutation leaves every tensor here but ``person_of_proxy`` as it was.

    Attributes:
        cameras: the C cameras as (dsetid, camid).
        camera_of_image: (M,), camera number in [0, C).
        local_of_image: (M,), camera-local label in [0, N_c), the y of the paper.
        proxy_of_image: (M,), proxy in [0, N): the camera's offset plus the camera-local label.
        camera_of_proxy: (N,), camera number in [0, C), never falling.
        offsets: (C,), first proxy of each camera.
        proxies_per_camera: (C,), N_c.
        person_of_proxy: (N,), the true person, numbered in the order of the proxies. It is a label across cameras:
            for diagnostics and for full supervision only.
        path_order: (M,), the images camera by camera, sorted by path in each. It does not depend on the order of
            the training list, which for some of torchreid's datasets is whatever the file system lists first.
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
        """Labels of a torchreid training list (``trainset.train``).

        Args:
            train: (image path, pid, camid, dsetid) of each image.

        Raises:
            CCAFLError: the list is empty.
        """
        if len(train) == 0:
            raise CCAFLError("data.sources: the training set has no image.")
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
        """C."""
        return len(self.cameras)

    @property
    def num_proxies(self) -> int:
        """N, the sum of the cameras' numbers of identities."""
        return len(self._images)

    @property
    def num_images(self) -> int:
        """M."""
        return len(self.camera_of_image)

    def images_of_proxy(self, proxy: int) -> tuple[int, ...]:
        """Positions in the training list of the images of ``proxy``, in the order of their paths."""
        return self._images[proxy]

    def proxies_of(
        self, dsetid: Iterable[int] | Tensor, camid: Iterable[int] | Tensor, pid: Iterable[int] | Tensor
    ) -> Tensor:
        """The proxies of a batch as torchreid hands it out.

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
                f"No training image has dsetid {dataset}, camid {camera}, pid {person}: "
                "these labels were made from another training list."
            ) from None


def _ints(values: Iterable[int] | Tensor) -> list[int]:
    return values.tolist() if isinstance(values, Tensor) else [int(value) for value in values]
