"""What the samplers share: sizes, epochs, and the K images of a proxy.

Behaviour in corner cases (in ``IdentitySampler`` read person for proxy):

- a proxy with at least K images gives K different ones; one with fewer gives K draws with replacement;
- what is left of a pass when it no longer fills a batch is left out of that pass, and a new permutation starts;
- an epoch always starts new passes, so epoch e can be drawn without the epochs before it;
- as long as nobody calls ``set_epoch`` (torchreid's own engines don't), each pass over the sampler is the next epoch;
  after ``set_epoch(e)``, each pass gives epoch e until the next call.
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
    """Sizes that no training list can make right.

    Raises:
        CCAFLError: one is below 1, or a batch does not hold whole proxies.
    """
    check_arguments(batch_size=batch_size, num_instances=num_instances, iters_per_epoch=iters_per_epoch)
    if batch_size % num_instances:
        raise WrongArgument(
            f"{{batch_size}}: {batch_size} is not a multiple of {{num_instances}} ({num_instances}); "
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
        for groups in self.draw_groups(rng):
            yield [index for group in groups for index in self._draw_images(group, rng)]

    @abstractmethod
    def draw_groups(self, rng: torch.Generator) -> Iterator[list[int]]:
        """The proxies of each batch of an epoch, ``iters_per_epoch`` lists of different ones."""

    def images_of(self, group: int) -> tuple[int, ...]:
        """Positions in the training list of a group's images, of which K are drawn; a group is a proxy."""
        return self.labels.images_of_proxy(group)

    def _draw_images(self, group: int, rng: torch.Generator) -> list[int]:
        images = self.images_of(group)
        if len(images) >= self.num_instances:
            picks = torch.randperm(len(images), generator=rng)[: self.num_instances]
        else:
            picks = torch.randint(len(images), (self.num_instances,), generator=rng)
        return [images[pick] for pick in picks.tolist()]

    def check_enough(self, what: str, available: int) -> None:
        """Refuses a batch of more proxies (or people) than there are."""
        if available < self.proxies_per_batch:
            raise WrongArgument(
                f"{{batch_size}}: {self.batch_size} with {{num_instances}} {self.num_instances} needs "
                f"{self.proxies_per_batch} {what} a batch, but the training set has {available}; "
                f"set {{batch_size}} to at most {available * self.num_instances}."
            )

    def next_epoch(self) -> int:
        """The epoch of the pass that begins now: the one that was set, or one more than at the last call."""
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
        yield from self.sampler.draw_epoch(self.sampler.next_epoch())

    def __len__(self) -> int:
        return self.sampler.iters_per_epoch


class Deck:
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
