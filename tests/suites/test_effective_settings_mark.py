"""From a published configuration through a real run to the mark in the table."""

from __future__ import annotations

from pathlib import Path

import yaml

from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.runner import Runner
from ccafl_plugin.suites.suite_table import make_table
from tests.engine.small_runs import write_pictures
from tests.suites.small_suites import BASE, forked, planned


def test_a_row_that_leaves_published_settings_is_marked_and_they_themselves_is_not(tmp_path: Path) -> None:
    published = {**BASE, "published": "Somebody, 2025", "train": {**BASE["train"], "max_epoch": 1}}
    published["ccafl"] = {**BASE["ccafl"], "amp": False}
    (tmp_path / "published.yaml").write_text(yaml.safe_dump(published))
    rows = [
        {"name": "as published", "config": "published.yaml"},
        {"name": "own rate", "config": "published.yaml", "overrides": {"train.lr": 0.5}},
        {"name": "nothing published"},
    ]
    overrides = {"train.max_epoch": 1}
    suite, plan = planned(tmp_path, write_pictures(tmp_path / "data"), rows=rows, seeds=[1], overrides=overrides)
    assert Runner(plan, start=forked, report=lambda line: None, pause=0.05).run() == {}
    text = make_table(Outcomes.of_plan(suite, plan), columns=["scores"])
    names = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert names[1:] == ["as published", "own rate †", "nothing published"]
    assert (
        "- † own rate: differs from the published settings (Somebody, 2025): train.lr 0.5 instead of 0.0003\n"
    ) in text
