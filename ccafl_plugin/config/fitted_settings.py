"""Batch, length of an epoch and windows of the terms from the numbers of a training set."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ccafl_plugin.data.proxies import TrainTuple
from ccafl_plugin.utils.errors import CCAFLError

PASSES = 2.0
"""Times that an epoch draws as many images as there are; the paper's 200 x 128 of Market-1501's 12 936 are 1.98."""

FEWEST_ITERATIONS, MOST_ITERATIONS = 20, 400
"""Of an epoch; ours, not measured. With fewer, extraction and association would take most of the time. With the most,
batches of 128 draw 51 200 images: of a set above 25 600 an epoch draws less than :data:`PASSES` times as many."""
FIRST_ITERATIONS = 400
"""Intra-camera steps before the first association, but at most half of all: what the rendered benchmark begins with.
Other numbers were not measured."""


class Counts(NamedTuple):
    """Of a training set."""

    images: int
    cameras: int
    proxies: int
    images_per_proxy: float  # median

    @classmethod
    def of(cls, train: Sequence[TrainTuple]) -> Counts:
        """Counts a training list of torchreid."""
        proxies = Counter((dsetid, camid, pid) for _, pid, camid, dsetid in train)
        cameras = {(dsetid, camid) for dsetid, camid, _ in proxies}
        return cls(len(train), len(cameras), len(proxies), float(statistics.median(proxies.values())))

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.images} images of {self.proxies} proxies in {self.cameras} cameras, "
            f"{self.images_per_proxy:g} per proxy (median)"
        )


def fitted_settings(counts: Counts, most_images: int, most_instances: int, epochs: int) -> dict[str, Any]:
    """The settings of the recipe ``ccafl_margin`` that depend on how much there is to learn from.

    - K images of a proxy in a batch: 8, 4 or 2, the largest that is at most twice the median of what proxies have
      (Market-1501's 4 give the paper's 8); a proxy with fewer images gives some of them twice.
    - P proxies: as many as fill the batch, at most all there are.
    - An epoch draws :data:`PASSES` times the number of images, in 20 to 400 iterations.
    - The terms across cameras begin when a tenth of all iterations are done (the paper's 5 of 50 epochs), not before
      :data:`FIRST_ITERATIONS`, and at most after half of the epochs; ICAL begins with them, text across cameras a
      tenth of the epochs later. The lower learning rate after four fifths, warm-up in the first fifth, as in the
      paper.

    Args:
        counts: of the training set.
        most_images: of a batch.
        most_instances: of a proxy in a batch.
        epochs: of stage 2, at least 1.

    Returns:
        Value by key of the configuration.

    Raises:
        CCAFLError: a single camera, or a single proxy.
    """
    if counts.cameras < 2:
        raise CCAFLError(
            "data.sources: all training images are of one camera, and there is nothing to associate across; add a "
            "second camera, or see ccafl.data.pattern for how cameras are told apart."
        )
    if counts.proxies < 4:
        raise CCAFLError(f"data.sources: {counts.proxies} proxies are too few to tell people apart; label at least 4.")
    instances = max(
        [k for k in (2, 4, 8) if k <= min(2 * counts.images_per_proxy, most_instances, most_images)], default=1
    )
    proxies = max(1, min(most_images // instances, counts.proxies))
    batch = proxies * instances
    iterations = min(max(round(PASSES * counts.images / batch), FEWEST_ITERATIONS), MOST_ITERATIONS)
    first = min(max(math.ceil(epochs / 10), math.ceil(FIRST_ITERATIONS / iterations)), epochs // 2)
    return {
        "train.batch_size": batch,
        "sampler.num_instances": instances,
        "train.stepsize": [max(1, epochs * 4 // 5)],
        "ccafl.iters_per_epoch": iterations,
        "ccafl.warmup_epochs": epochs // 5,
        "ccafl.terms.inter.first_epoch": first,
        "ccafl.terms.alignment.first_epoch": min(first + math.ceil(epochs / 10), epochs - 1),
        "ccafl.terms.ical.first_epoch": first,
    }
