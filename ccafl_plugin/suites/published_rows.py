"""Adds published scores as rows of a table; they are always marked as published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.suite import Row

FILE = "suites/published.yaml"
MARK = " (published)"

SAME_TEST_SET = {"msmt17_trainval": "msmt17"}
"""Our names of targets -> the name of the dataset with the same query and gallery."""


def with_published(outcomes: Outcomes, file: Path | None = None) -> Outcomes:
    """The outcomes with a row for each method that has published scores on one of the targets.

    Args:
        outcomes: outcomes of a suite.
        file: YAML list of ``name``, ``source`` and ``scores`` (percent); None: the shipped file.
    """
    entries = yaml.safe_load((file or configs_folder() / FILE).read_text(encoding="utf-8"))
    rows, found = list(outcomes.suite.rows), dict(outcomes.found)
    for entry in entries:
        row = Row(entry["name"] + MARK, Path(), note=f"not measured here; {entry['source']}", is_published=True)
        for pair in outcomes.pairs:
            scores = entry["scores"].get(SAME_TEST_SET.get(pair.target, pair.target))
            if scores is None:
                continue
            if row not in rows:
                rows.append(row)
            content = found.setdefault((row.name, pair.dataset, 0), {"scores": {}})
            content["scores"][pair.target] = {name: value / 100 for name, value in scores.items()}
    suite = replace(outcomes.suite, rows=tuple(rows))
    return Outcomes(suite, found, outcomes.failures, outcomes.missing)
