"""docs/suites.md: its suite can be planned, and it names every group of columns and every argument."""

from __future__ import annotations

import re
from pathlib import Path

from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.suites import suite_file
from ccafl_plugin.suites.columns import COLUMNS
from ccafl_plugin.suites.run_plan import make_plan
from ccafl_plugin.suites.suite_command import parser
from ccafl_plugin.suites.suite_file import load_suite
from tests.layouts_torchreid import REPOSITORY

TEXT = (REPOSITORY / "docs" / "suites.md").read_text(encoding="utf-8")


def test_the_example_can_be_planned(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "suite.yaml"
    file.write_text(example.replace("../synthetic", str(configs_folder() / "synthetic")))
    for quick, seeds in ((False, 3), (True, 1)):
        plan = make_plan(load_suite(file, quick), tmp_path / "out")
        assert len(plan.runs) == 2 * seeds


def test_everything_is_named() -> None:
    words = set(re.findall(r"`([^`\n]+)`", TEXT))
    assert set(COLUMNS) <= words
    named = " ".join(words)
    for action in parser()._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or option in named
    for key in suite_file._SUITE_KEYS | suite_file._ROW_KEYS | suite_file._AXIS_KEYS | suite_file._QUICK_KEYS:
        assert key in words or f"{key}:" in TEXT, key
