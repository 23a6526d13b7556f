"""Who the pictures show: nobody of any benchmark, and for judging the result nobody of those it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import Identity, draw_identities
from ccafl_plugin.synthetic.renderer.picture_plan import SIZES, plan_persons

BENCHMARK_SEEDS = range(11)
"""Seeds of ``synthetic_persons`` none of whose persons is used here."""


@dataclass(frozen=True)
class People:
    """Persons to learn from and persons to be judged on; no two of all these are alike.

    Attributes:
        train: for training.
        held_out: for measuring.
    """

    train: tuple[Identity, ...]
    held_out: tuple[Identity, ...]


@cache
def benchmark_people() -> frozenset[Identity]:
    """Everybody in ``synthetic_persons`` of every size and of the seeds in ``BENCHMARK_SEEDS``."""
    return frozenset(
        person for size in SIZES.values() for seed in BENCHMARK_SEEDS for _, person in plan_persons(size, seed).values()
    )


def draw_people(train: int, held_out: int, seed: int) -> People:
    """As many different persons as asked for; equal arguments give equal persons on every machine."""
    dice = Dice(seed, "pretraining", "persons")
    taken = set(benchmark_people())
    return People(tuple(draw_identities(train, dice, taken)), tuple(draw_identities(held_out, dice, taken)))
