"""The persons for pretraining. None is in a benchmark, and none is both in the training and in the held-out set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import Identity, draw_identities
from ccafl_plugin.synthetic.renderer.picture_plan import SIZES, plan_persons

BENCHMARK_SEEDS = range(11)
"""Seeds of ``synthetic_persons`` whose persons are not used here."""


@dataclass(frozen=True)
class People:
    """Persons for training and for evaluation; no two of them are equal.

    Attributes:
        train: persons for training.
        held_out: persons for evaluation.
    """

    train: tuple[Identity, ...]
    held_out: tuple[Identity, ...]


@cache
def benchmark_people() -> frozenset[Identity]:
    """All persons in ``synthetic_persons``, for every size and the seeds in ``BENCHMARK_SEEDS``."""
    return frozenset(
        person for size in SIZES.values() for seed in BENCHMARK_SEEDS for _, person in plan_persons(size, seed).values()
    )


def draw_people(train: int, held_out: int, seed: int) -> People:
    """Draws different persons; equal arguments give equal persons on every machine."""
    dice = Dice(seed, "pretraining", "persons")
    taken = set(benchmark_people())
    return People(tuple(draw_identities(train, dice, taken)), tuple(draw_identities(held_out, dice, taken)))
