"""Samplers whose batches are P proxies x K images.

In short: a proxy is drawn without replacement within a pass, then K of its images.
All three walk the proxies in the order of ``ProxyLabels``, which no identity number can change.

Behaviour in corner cases:

- a proxy with at least K images gives K different ones; one with fewer gives K draws with replacement;
- what is left of a pass when it no longer fills a batch is left out of that pass, and a new permutation starts;
- an epoch always starts new passes, so epoch e can be drawn without the epochs before it;
- as long as nobody calls ``set_epoch`` (torchreid's own engines don't), each pass over the sampler is the next epoch;
  after ``set_epoch(e)``, each pass gives epoch e until the next call.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from ccafl_plugin.data.proxies import ProxyLabels, TrainTuple
from ccafl_plugin.errors import CCAFLError
from ccafl_plugin.randomness import generator


def check_sizes(batch_size: int, num_instances: int, iters_per_epoch: int) -> None:
    """Sizes that no training list can make right.

    Raises:
        CCAFLError: one is below 1, or a batch does not hold whole proxies.
    """
    sizes = {
        "train.batch_size": batch_size,
        "sampler.num_instances": num_instances,
        "iters_per_epoch": iters_per_epoch,
    }
    for name, value in sizes.items():
        if value < 1:
            raise CCAFLError(f"{name}: {value} is too small, it must be at least 1.")
    if batch_size % num_instances:
        raise CCAFLError(
            f"train.batch_size: {batch_size} is not a multiple of sampler.num_instances ({num_instances}); "
            f"a batch is P proxies x {num_instances} images."
        )


class ProxyBatchSampler(Sampler[int]):
    """What the samplers share: sizes, epochs and the images of a proxy. A sampler adds which proxies make a batch.

    Args:
        data_source: torchreid's training list.
        batch_size: P x K, the number of images in a batch.
        num_instances: K, the number of images of each proxy in a batch.
        iters_per_epoch: number of batches in an epoch; 200 in the paper.
        seed: with the epoch, it decides every draw.

    Raises:
        CCAFLError: sizes that do not fit together, or fewer proxies than a batch needs.
    """

    variable_batches: bool = False
    """Whether some batches are smaller than ``batch_size``, so that a loader has to take :meth:`batches`."""

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = 200,
        seed: int = 1,
    ) -> None:
        check_sizes(batch_size, num_instances, iters_per_epoch)
        self.labels = ProxyLabels.from_tuples(data_source)
        self.batch_size = batch_size
        self.num_instances = num_instances
        self.proxies_per_batch = batch_size // num_instances
        self.iters_per_epoch = iters_per_epoch
        self.seed = seed
        self._fixed_epoch: int | None = None
        self._passes = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, counted from 0, that the following passes over the sampler give."""
        self._fixed_epoch = epoch

    def batches(self) -> ProxyBatches:
        """The same epochs as lists of indices, for a DataLoader's ``batch_sampler``."""
        return ProxyBatches(self)

    def __iter__(self) -> Iterator[int]:
        for batch in self.batches():
            yield from batch

    def __len__(self) -> int:
        return self.iters_per_epoch * self.batch_size

    def draw_epoch(self, epoch: int) -> Iterator[list[int]]:
        """The batches of one epoch, each a list of positions in the training list, proxy by proxy."""
        rng = generator(self.seed, epoch, type(self).__name__)
        for proxies in self.draw_proxies(rng):
            yield [index for proxy in proxies for index in self._draw_images(proxy, rng)]

    @abstractmethod
    def draw_proxies(self, rng: torch.Generator) -> Iterator[list[int]]:
        """The proxies of each batch of an epoch, ``iters_per_epoch`` lists of different proxies."""

    def _draw_images(self, proxy: int, rng: torch.Generator) -> list[int]:
        images = self.labels.images_of_proxy(proxy)
        if len(images) >= self.num_instances:
            picks = torch.randperm(len(images), generator=rng)[: self.num_instances]
        else:
            picks = torch.randint(len(images), (self.num_instances,), generator=rng)
        return [images[pick] for pick in picks.tolist()]

    def _next_epoch(self) -> int:
        if self._fixed_epoch is not None:
            return self._fixed_epoch
        self._passes += 1
        return self._passes - 1


class ProxyBatches:
    """A sampler's batches: iterating gives lists of positions in the training list, ``len`` their number."""

    def __init__(self, sampler: ProxyBatchSampler) -> None:
        self.sampler = sampler

    # A generator: the epoch is counted at the first batch, so an iterator that a DataLoader makes and drops costs none.
    def __iter__(self) -> Iterator[list[int]]:
        yield from self.sampler.draw_epoch(self.sampler._next_epoch())

    def __len__(self) -> int:
        return self.sampler.iters_per_epoch


class ProxySampler(ProxyBatchSampler):
    """P proxies x K images from all cameras, the sampler of the paper's second stage.

    A pass is a permutation of all N proxies cut into floor(N / P) batches. Arguments and errors:
    :class:`ProxyBatchSampler`.
    """

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = 200,
        seed: int = 1,
    ) -> None:
        super().__init__(data_source, batch_size, num_instances, iters_per_epoch, seed)
        if self.labels.num_proxies < self.proxies_per_batch:
            raise CCAFLError(
                f"train.batch_size: {batch_size} with sampler.num_instances {num_instances} needs "
                f"{self.proxies_per_batch} proxies a batch, but the training set has {self.labels.num_proxies}; "
                f"set train.batch_size to at most {self.labels.num_proxies * num_instances}."
            )

    def draw_proxies(self, rng: torch.Generator) -> Iterator[list[int]]:
        deck = _Deck(range(self.labels.num_proxies), rng)
        for _ in range(self.iters_per_epoch):
            yield deck.draw(self.proxies_per_batch)


class IntraCameraSampler(ProxyBatchSampler):
    """P proxies x K images of one camera; a camera with fewer than P proxies gives all it has.

    Of an epoch's iterations each camera gets its share in proportion to its proxies, rounded by the method of the
    largest remainder and equal in every epoch; the order of the cameras is drawn anew for each epoch. A camera whose
    share rounds to nothing is never seen, of which a warning tells. Arguments and errors: :class:`ProxyBatchSampler`.
    """

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = 200,
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
                f"IntraCameraSampler: {iters_per_epoch} iterations per epoch leave none for the cameras "
                f"(dsetid, camid) {', '.join(map(str, unseen))}; raise the number of iterations per epoch.",
                stacklevel=2,
            )

    def __len__(self) -> int:
        drawn = sum(iters * size for iters, size in zip(self.iters_per_camera, self._drawn_per_camera, strict=True))
        return drawn * self.num_instances

    def draw_proxies(self, rng: torch.Generator) -> Iterator[list[int]]:
        decks = [_Deck(proxies, rng) for proxies in self._proxies_of_camera]
        turns = torch.arange(self.labels.num_cameras).repeat_interleave(torch.tensor(self.iters_per_camera))
        for camera in turns[torch.randperm(len(turns), generator=rng)].tolist():
            yield decks[camera].draw(self._drawn_per_camera[camera])


class CameraBalancedSampler(ProxyBatchSampler):
    """P proxies x K images, P / C proxies from each of the C cameras, which stand in the batch in their order.

    A camera's proxies are shuffled again when too few are left for its share. Arguments:
    :class:`ProxyBatchSampler`.

    Raises:
        CCAFLError: C does not divide P, or a camera has fewer than P / C proxies.
    """

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = 200,
        seed: int = 1,
    ) -> None:
        super().__init__(data_source, batch_size, num_instances, iters_per_epoch, seed)
        cameras = self.labels.num_cameras
        self.proxies_per_share, rest = divmod(self.proxies_per_batch, cameras)
        if rest:
            raise CCAFLError(
                f"train.batch_size: {batch_size} with sampler.num_instances {num_instances} gives "
                f"{self.proxies_per_batch} proxies a batch, which can't be shared equally by {cameras} cameras; "
                f"set train.batch_size to a multiple of {cameras * num_instances}."
            )
        fewest = int(self.labels.proxies_per_camera.min())
        if fewest < self.proxies_per_share:
            camera = self.labels.cameras[int(self.labels.proxies_per_camera.argmin())]
            raise CCAFLError(
                f"train.batch_size: {batch_size} needs {self.proxies_per_share} proxies of each camera, but camera "
                f"(dsetid, camid) {camera} has {fewest}; set train.batch_size to at most "
                f"{fewest * cameras * num_instances}."
            )
        self._proxies_of_camera = _proxies_by_camera(self.labels)

    def draw_proxies(self, rng: torch.Generator) -> Iterator[list[int]]:
        decks = [_Deck(proxies, rng) for proxies in self._proxies_of_camera]
        for _ in range(self.iters_per_epoch):
            yield [proxy for deck in decks for proxy in deck.draw(self.proxies_per_share)]


SAMPLERS: dict[str, type[ProxyBatchSampler]] = {
    "ProxySampler": ProxySampler,
    "IntraCameraSampler": IntraCameraSampler,
    "CameraBalancedSampler": CameraBalancedSampler,
}
"""The samplers by the name that ``sampler.train_sampler`` takes."""


def allot(seats: int, weights: Sequence[int]) -> list[int]:
    """``seats`` shared in proportion to ``weights`` by the method of the largest remainder, in integers.

    Of equal remainders the earlier one is served first.
    """
    total = sum(weights)
    shares = [seats * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(seats * weights[i] % total), i))
    for i in by_remainder[: seats - sum(shares)]:
        shares[i] += 1
    return shares


class _Deck:
    """Cards drawn without replacement; shuffled whole again when fewer are left than are asked for."""

    def __init__(self, cards: Sequence[int], rng: torch.Generator) -> None:
        self.cards = cards
        self.rng = rng
        self.shuffled: list[int] = []

    def draw(self, count: int) -> list[int]:
        if len(self.shuffled) < count:
            self.shuffled = [self.cards[i] for i in torch.randperm(len(self.cards), generator=self.rng).tolist()]
        drawn, self.shuffled = self.shuffled[:count], self.shuffled[count:]
        return drawn


def _proxies_by_camera(labels: ProxyLabels) -> list[range]:
    counts = labels.proxies_per_camera.tolist()
    return [range(first, first + count) for first, count in zip(labels.offsets.tolist(), counts, strict=True)]
