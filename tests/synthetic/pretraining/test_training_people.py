from __future__ import annotations

from ccafl_plugin.synthetic.pretraining.training_people import benchmark_people, draw_people
from ccafl_plugin.synthetic.renderer.picture_plan import SIZES, plan_benchmark


def test_nobody_is_in_two_places():
    people = draw_people(500, 100, seed=1)
    train, held_out = set(people.train), set(people.held_out)
    assert (len(train), len(held_out)) == (500, 100)
    assert not train & held_out
    assert not (train | held_out) & benchmark_people()


def test_everybody_of_every_benchmark_is_avoided():
    for size in ("tiny", "large"):
        plan = plan_benchmark(SIZES[size], seed=2)
        assert {picture.frame.person for picture in plan.pictures} <= benchmark_people()


def test_equal_seeds_give_equal_persons():
    assert draw_people(20, 5, seed=3) == draw_people(20, 5, seed=3)
    assert draw_people(20, 5, seed=3).train != draw_people(20, 5, seed=4).train
    assert draw_people(20, 9, seed=3).held_out[:5] == draw_people(20, 5, seed=3).held_out
