"""From a published configuration through a real run to the mark in the table."""

from __future__ import annotations

from pathlib import Path

import yaml

from ccafl_plugin.benchmark.outcomes import Outcomes
from ccafl_plugin.benchmark.runner import Runner
from ccafl_plugin.benchmark.table import make_table
from tests.benchmark.small_suites import BASE, forked, planned
from tests.engine.small_runs import write_pictures


def test_a_row_that_overrides_its_recipe_is_marked_and_the_recipe_itself_is_not(tmp_path: Path) -> None:
    recipe = {**BASE, "published": "Somebody, 2025", "train": {**BASE["train"], "max_epoch": 1}}
    recipe["ccafl"] = {**BASE["ccafl"], "amp": False}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    rows = [
        {"name": "as published", "config": "recipe.yaml"},
        {"name": "own rate", "config": "recipe.yaml", "overrides": {"train.lr": 0.5}},
        {"name": "no recipe"},
    ]
    overrides = {"train.max_epoch": 1}
    suite, plan = planned(tmp_path, write_pictures(tmp_path / "data"), rows=rows, seeds=[1], overrides=overrides)
    assert Runner(plan, start=forked, report=lambda line: None, pause=0.05).run() == {}
    text = make_table(Outcomes.of_plan(suite, plan), columns=["scores"])
    names = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert names[1:] == ["as published", "own rate †", "no recipe"]
    assert (
        "- † own rate: differs from the published recipe (Somebody, 2025): train.lr 0.5 instead of 0.0003\n"
    ) in text
