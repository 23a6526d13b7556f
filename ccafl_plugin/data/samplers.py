"""Samplers with batches of P proxies x K images; with full labels also P people x K images.

Proxies are drawn without replacement in a pass, then K images of each. All samplers number proxies as ``ProxyLabels``,
which does not depend on identity numbers. Corner cases: :mod:`ccafl_plugin.data.proxy_batches`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import torch

from ccafl_plugin.data.proxies import ProxyLabels, TrainTuple
from ccafl_plugin.data.proxy_batches import Deck, ProxyBatchSampler
from ccafl_plugin.utils.errors import WrongArgument
from ccafl_plugin.utils.paper_values import ITERS_PER_EPOCH


class ProxySampler(ProxyBatchSampler):
    """P proxies x K images from all cameras, the sampler of the paper's stage 2.

    A pass is a permutation of all N proxies cut into floor(N / P) batches. Arguments and errors:
    :class:`ProxyBatchSampler`.
    """

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = ITERS_PER_EPOCH,
        seed: int = 1,
    ) -> None:
        super().__init__(data_source, batch_size, num_instances, iters_per_epoch, seed)
        self.check_enough("proxies", self.labels.num_proxies)

    def draw_groups(self, rng: torch.Generator) -> Iterator[list[int]]:
        deck = Deck(range(self.labels.num_proxies), rng)
        for _ in range(self.iters_per_epoch):
            yield deck.draw(self.proxies_per_batch)


class IdentitySampler(ProxyBatchSampler):
    """P people x K images from all cameras of a person, for full labels: it reads identities across cameras.

    A pass is a permutation of all people cut into floor(people / P) batches. torchreid's ``RandomIdentitySampler``
    draws P people x K images too, in epochs whose length depends on the data. Arguments and errors:
    :class:`ProxyBatchSampler`.
    """

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = ITERS_PER_EPOCH,
        seed: int = 1,
    ) -> None:
        super().__init__(data_source, batch_size, num_instances, iters_per_epoch, seed)
        self.use(self.labels)
        self.check_enough("people", len(self._images_of_person))

    def use(self, labels: ProxyLabels) -> None:
        super().use(labels)
        persons = labels.person_of_proxy.tolist()
        self._images_of_person: list[tuple[int, ...]] = [()] * (max(persons) + 1)
        for proxy, person in enumerate(persons):
            self._images_of_person[person] += labels.images_of_proxy(proxy)

    def images_of(self, group: int) -> tuple[int, ...]:
        """Positions in the training list of a person's images, camera by camera; here a group is a person."""
        return self._images_of_person[group]

    def draw_groups(self, rng: torch.Generator) -> Iterator[list[int]]:
        """The people of each batch, numbered as in ``ProxyLabels.person_of_proxy``."""
        deck = Deck(range(len(self._images_of_person)), rng)
        for _ in range(self.iters_per_epoch):
            yield deck.draw(self.proxies_per_batch)


class IntraCameraSampler(ProxyBatchSampler):
    """P proxies x K images of one camera; a camera with fewer than P proxies gives all its proxies.

    The iterations of an epoch are divided among the cameras in proportion to their proxies, rounded by the method of
    the largest remainder; the shares are equal in every epoch. The order of the cameras is drawn for each epoch. A
    camera whose share is rounded to 0 is never used, and a warning names it. Arguments and errors:
    :class:`ProxyBatchSampler`.
    """

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = ITERS_PER_EPOCH,
        seed: int = 1,
    ) -> None:
        super().__init__(data_source, batch_size, num_instances, iters_per_epoch, seed)
        self._proxies_of_camera = _proxies_by_camera(self.labels)
        counts = self.labels.proxies_per_camera.tolist()
        self._drawn_per_camera = [min(count, self.proxies_per_batch) for count in counts]
        self.iters_per_camera = allot(iters_per_epoch, counts)
        self.variable_batches = min(self._drawn_per_camera) < self.proxies_per_batch
        unseen = [self.labels.cameras[c] for c, iters in enumerate(self.iters_per_camera) if iters == 0]
        if unseen:
            warnings.warn(
                f"IntraCameraSampler: with {iters_per_epoch} iterations per epoch, these cameras get none: "
                f"(dsetid, camid) {', '.join(map(str, unseen))}. Raise the number of iterations per epoch.",
                stacklevel=2,
            )

    def __len__(self) -> int:
        drawn = sum(iters * size for iters, size in zip(self.iters_per_camera, self._drawn_per_camera, strict=True))
        return drawn * self.num_instances

    def draw_groups(self, rng: torch.Generator) -> Iterator[list[int]]:
        decks = [Deck(proxies, rng) for proxies in self._proxies_of_camera]
        turns = torch.arange(self.labels.num_cameras).repeat_interleave(torch.tensor(self.iters_per_camera))
        for camera in turns[torch.randperm(len(turns), generator=rng)].tolist():
            yield decks[camera].draw(self._drawn_per_camera[camera])


class CameraBalancedSampler(ProxyBatchSampler):
    """P proxies x K images, with P / C proxies from each of the C cameras; cameras are in the batch in their order.

    The proxies of a camera are shuffled again when too few are left for its share. Arguments:
    :class:`ProxyBatchSampler`.

    Raises:
        CCAFLError: C does not divide P, or a camera has fewer than P / C proxies.
    """

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = ITERS_PER_EPOCH,
        seed: int = 1,
    ) -> None:
        super().__init__(data_source, batch_size, num_instances, iters_per_epoch, seed)
        cameras = self.labels.num_cameras
        self.proxies_per_share, rest = divmod(self.proxies_per_batch, cameras)
        if rest:
            raise WrongArgument(
                f"{{batch_size}}: {batch_size} with {{num_instances}} {num_instances} gives "
                f"{self.proxies_per_batch} proxies per batch, which cannot be divided equally among {cameras} cameras. "
                f"Set {{batch_size}} to a multiple of {cameras * num_instances}."
            )
        fewest = int(self.labels.proxies_per_camera.min())
        if fewest < self.proxies_per_share:
            camera = self.labels.cameras[int(self.labels.proxies_per_camera.argmin())]
            raise WrongArgument(
                f"{{batch_size}}: {batch_size} needs {self.proxies_per_share} proxies of each camera, but camera "
                f"(dsetid, camid) {camera} has {fewest}. Set {{batch_size}} to at most "
                f"{fewest * cameras * num_instances}."
            )
        self._proxies_of_camera = _proxies_by_camera(self.labels)

    def draw_groups(self, rng: torch.Generator) -> Iterator[list[int]]:
        decks = [Deck(proxies, rng) for proxies in self._proxies_of_camera]
        for _ in range(self.iters_per_epoch):
            yield [proxy for deck in decks for proxy in deck.draw(self.proxies_per_share)]


SAMPLERS: dict[str, type[ProxyBatchSampler]] = {
    "ProxySampler": ProxySampler,
    "IntraCameraSampler": IntraCameraSampler,
    "CameraBalancedSampler": CameraBalancedSampler,
    "IdentitySampler": IdentitySampler,
}
"""Names for ``sampler.train_sampler`` -> samplers."""

READS_IDENTITIES = ("IdentitySampler", "RandomIdentitySampler")
"""Names of the samplers, including torchreid's own, that read identities across cameras."""


def allot(seats: int, weights: Sequence[int]) -> list[int]:
    """Divides ``seats`` in proportion to ``weights`` by the method of the largest remainder, in integers.

    Of equal remainders, the earlier one comes first.
    """
    total = sum(weights)
    shares = [seats * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(seats * weights[i] % total), i))
    for i in by_remainder[: seats - sum(shares)]:
        shares[i] += 1
    return shares


def _proxies_by_camera(labels: ProxyLabels) -> list[range]:
    counts = labels.proxies_per_camera.tolist()
    return [range(first, first + count) for first, count in zip(labels.offsets.tolist(), counts, strict=True)]
