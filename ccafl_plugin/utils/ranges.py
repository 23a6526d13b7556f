"""The valid range of every numeric argument, by its name. A name has the same range everywhere.

Classes and functions call :func:`check_arguments` with their own arguments. ``ccafl_plugin.config`` calls
:func:`check_argument` with the keys of a configuration. The page of keys (docs/configuration.md) lists the ranges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ccafl_plugin.utils.errors import WrongArgument


@dataclass(frozen=True)
class Range:
    """Finite numbers between two bounds.

    Attributes:
        smallest: lower bound.
        largest: upper bound.
        above: the lower bound itself is not allowed.
        below: the upper bound itself is not allowed.
    """

    smallest: float = -math.inf
    largest: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, number: float) -> bool:
        low = self.smallest < number if self.above else self.smallest <= number
        high = number < self.largest if self.below else number <= self.largest
        return math.isfinite(number) and low and high

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {self.smallest:g}" if self.smallest > -math.inf else ""
        high = f"{'below' if self.below else 'at most'} {self.largest:g}" if self.largest < math.inf else ""
        return " and ".join(filter(None, (low, high))) or "finite"

    def check(self, name: str, value: Any) -> None:
        """Checks a number, or every number of a list.

        Args:
            name: the argument or key that the error names.
            value: the number or the list.

        Raises:
            CCAFLError: the value is not a number, or it is out of range.
        """
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, bool) or not isinstance(number, Real):
                raise WrongArgument(f"{name}: expected a number, found {number!r}.")
            if float(number) not in self:
                raise WrongArgument(f"{name}: {number!r} is out of range, it must be {self}.")


COUNT = Range(1)
NOT_NEGATIVE = Range(0)
POSITIVE = Range(0, above=True)
SHARE = Range(0, 1)
FINITE = Range()
SIZE = Range(1, 4096)
"""Pixels of a side; larger images are a slip of the finger, and would take all memory."""

RANGES: dict[str, Range] = {
    # torchreid's own
    "height": SIZE,
    "width": SIZE,
    "workers": Range(0, 1024),
    "split_id": NOT_NEGATIVE,
    "seed": Range(0, 2**32 - 1),
    "norm_mean": FINITE,
    "norm_std": POSITIVE,
    "num_cams": NOT_NEGATIVE,
    "num_datasets": NOT_NEGATIVE,
    "base_lr_mult": NOT_NEGATIVE,
    "fixbase_epoch": NOT_NEGATIVE,
    "stepsize": COUNT,
    "gamma": POSITIVE,
    "dampening": NOT_NEGATIVE,
    "alpha": Range(0, 1, below=True),
    "beta1": Range(0, 1, below=True),
    "beta2": Range(0, 1, below=True),
    "weight_t": NOT_NEGATIVE,
    "weight_x": NOT_NEGATIVE,
    "margin": FINITE,
    "eval_freq": Range(-1),
    "start_eval": NOT_NEGATIVE,
    "visrank_topk": Range(1, 100),
    "k_tfm": COUNT,
    "batch_size": COUNT,
    "num_instances": COUNT,
    "lr": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "momentum": SHARE,
    "max_epoch": NOT_NEGATIVE,
    "start_epoch": NOT_NEGATIVE,
    "print_freq": COUNT,
    "ranks": Range(1, 50),
    # samplers, transforms, schedules
    "iters_per_epoch": COUNT,
    "crop_padding": Range(0, 4096),
    "warmup_epochs": NOT_NEGATIVE,
    "warmup_factor": SHARE,
    "cosine_final_factor": SHARE,
    "bias_lr_factor": NOT_NEGATIVE,
    "prompt_length": COUNT,
    # engine
    "accumulation": COUNT,
    "extraction_memory": NOT_NEGATIVE,
    "keep": COUNT,
    "keep_epochs": NOT_NEGATIVE,
    "max_skipped": NOT_NEGATIVE,
    "epochs": NOT_NEGATIVE,
    "warmup_lr": NOT_NEGATIVE,
    "final_lr": NOT_NEGATIVE,
    # terms and losses
    "weight": FINITE,
    "weight_centroid": FINITE,
    "weight_instance": FINITE,
    "weight_centroid_triplet": FINITE,
    "weight_batch_triplet": FINITE,
    "weight_alignment": FINITE,
    "weight_contrast": FINITE,
    "weight_triplet": FINITE,
    "scale": POSITIVE,
    "hardness": FINITE,
    "first_epoch": NOT_NEGATIVE,
    "last_epoch": Range(-1),
    "follow_encoder": NOT_NEGATIVE,
    "weight_lambda": SHARE,
    "smoothing": SHARE,
    "temperature": POSITIVE,
    "instances": COUNT,
    # association and label noise
    "best": Range(2),
    "probes": COUNT,
    "whitening": NOT_NEGATIVE,
    "rate": NOT_NEGATIVE,
    "wrong": SHARE,
    "split": SHARE,
    "single_camera": SHARE,
    # pretraining
    "steps": COUNT,
    "learning_rate": POSITIVE,
    # data of one's own
    "test_share": Range(0, 1, below=True),
    "padding": SHARE,
    "least_height": COUNT,
    "least_width": COUNT,
    "most": NOT_NEGATIVE,
    "overlap": SHARE,
    "blur": SHARE,
    "confidence": NOT_NEGATIVE,
}


def check_argument(name: str, value: Any) -> None:
    """Checks a value by the last part of its name; a name without a range passes.

    Args:
        name: an argument such as ``rate``, or a key such as ``ccafl.association.nearest_pairs.rate``.
        value: a number or a list of them.

    Raises:
        CCAFLError: the value is out of range.
    """
    found = RANGES.get(name.rpartition(".")[2])
    if found is not None:
        found.check(name, value)


def check_arguments(**values: Any) -> None:
    """Calls :func:`check_argument` for each argument.

    Raises:
        CCAFLError: a value is out of range.
        KeyError: a name has no range; otherwise a misspelt name would not be checked.
    """
    for name, value in values.items():
        RANGES[name].check(f"{{{name}}}", value)
