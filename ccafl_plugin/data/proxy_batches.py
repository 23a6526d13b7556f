"""The base class of the samplers: sizes, epochs, and the K images of a proxy.

Behaviour in corner cases (for ``IdentitySampler`` read person instead of proxy):

- a proxy with at least K images gives K different images; one with fewer gives K draws with replacement;
- if the remaining proxies of a pass do not fill a batch, they are skipped, and a new permutation starts;
- an epoch always starts new passes, so epoch e can be drawn without the epochs before it;
- without ``set_epoch`` (torchreid's own engines do not call it), each iteration over the sampler is the next epoch;
  after ``set_epoch(e)``, each iteration gives epoch e until the next call.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from ccafl_plugin.data.proxies import ProxyLabels, TrainTuple
from ccafl_plugin.utils.errors import WrongArgument
from ccafl_plugin.utils.paper_values import ITERS_PER_EPOCH
from ccafl_plugin.utils.ranges import check_arguments
from ccafl_plugin.utils.seeds import generator


def check_sizes(batch_size: int, num_instances: int, iters_per_epoch: int) -> None:
    """Checks sizes that do not depend on the training list.

    Raises:
        CCAFLError: a size is below 1, or the batch size is not a multiple of K.
    """
    check_arguments(batch_size=batch_size, num_instances=num_instances, iters_per_epoch=iters_per_epoch)
    if batch_size % num_instances:
        raise WrongArgument(
            f"{{batch_size}}: {batch_size} is not a multiple of {{num_instances}} ({num_instances}). "
            f"A batch has P proxies x {num_instances} images."
        )


class ProxyBatchSampler(Sampler[int]):
    """Base class of the samplers: sizes, epochs and the images of a proxy. A subclass chooses the proxies of a batch.

    Args:
        data_source: torchreid's training list.
        batch_size: P x K, the number of images in a batch.
        num_instances: K, the number of images of each proxy in a batch.
        iters_per_epoch: number of batches in an epoch; 200 in the paper.
        seed: the seed and the epoch determine every draw.

    Raises:
        CCAFLError: sizes that are not possible together, or fewer proxies than a batch needs.
    """

    variable_batches: bool = False
    """Whether some batches are smaller than ``batch_size``, so that a loader must use :meth:`batches`."""

    def __init__(
        self,
        data_source: Sequence[TrainTuple],
        batch_size: int,
        num_instances: int,
        iters_per_epoch: int = ITERS_PER_EPOCH,
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
        """Sets the epoch, counted from 0, of the following iterations over the sampler."""
        self._fixed_epoch = epoch

    def use(self, labels: ProxyLabels) -> None:
        """Draws by other labels from the next iteration on.

        Args:
            labels: labels with the same proxies as :attr:`labels`; each proxy has an image.
        """
        self.labels = labels

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
        for groups in self.draw_groups(rng):
            yield [index for group in groups for index in self._draw_images(group, rng)]

    @abstractmethod
    def draw_groups(self, rng: torch.Generator) -> Iterator[list[int]]:
        """The proxies of each batch of an epoch: ``iters_per_epoch`` lists, each without repetitions."""

    def images_of(self, group: int) -> tuple[int, ...]:
        """Positions in the training list of the images of a group, which is a proxy; K of them are drawn."""
        return self.labels.images_of_proxy(group)

    def _draw_images(self, group: int, rng: torch.Generator) -> list[int]:
        images = self.images_of(group)
        if len(images) >= self.num_instances:
            picks = torch.randperm(len(images), generator=rng)[: self.num_instances]
        else:
            picks = torch.randint(len(images), (self.num_instances,), generator=rng)
        return [images[pick] for pick in picks.tolist()]

    def check_enough(self, what: str, available: int) -> None:
        """Checks that the training set has enough proxies (or people) for a batch."""
        if available < self.proxies_per_batch:
            raise WrongArgument(
                f"{{batch_size}}: {self.batch_size} with {{num_instances}} {self.num_instances} needs "
                f"{self.proxies_per_batch} {what} per batch, but the training set has {available}. "
                f"Set {{batch_size}} to at most {available * self.num_instances}."
            )

    def next_epoch(self) -> int:
        """The epoch of the iteration that starts now: the one that was set, or the next one."""
        if self._fixed_epoch is not None:
            return self._fixed_epoch
        self._passes += 1
        return self._passes - 1


class ProxyBatches:
    """The batches of a sampler: iterating gives lists of positions in the training list, ``len`` their number."""

    def __init__(self, sampler: ProxyBatchSampler) -> None:
        self.sampler = sampler

    # A generator counts the epoch at its first batch, so an iterator that a DataLoader creates and drops has no effect.
    def __iter__(self) -> Iterator[list[int]]:
        yield from self.sampler.draw_epoch(self.sampler.next_epoch())

    def __len__(self) -> int:
        return self.sampler.iters_per_epoch


class Deck:
    """Draws cards without replacement; all cards are shuffled again when too few are left for a draw."""

    def __init__(self, cards: Sequence[int], rng: torch.Generator) -> None:
        self.cards = cards
        self.rng = rng
        self.shuffled: list[int] = []

    def draw(self, count: int) -> list[int]:
        if len(self.shuffled) < count:
            self.shuffled = [self.cards[i] for i in torch.randperm(len(self.cards), generator=self.rng).tolist()]
        drawn, self.shuffled = self.shuffled[:count], self.shuffled[count:]
        return drawn
