"""docs/gpu.md: settings, defaults, reports and the line of the log are as it says."""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from benchmarks.reports import REPORTS
from ccafl_plugin.config import default_config
from ccafl_plugin.engine.encoder_pass import EncoderPass

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "gpu.md").read_text(encoding="utf-8")


def test_settings_and_defaults() -> None:
    rows = re.findall(r"^\| (`.*?) \| (`.*?) \|", PAGE, re.MULTILINE)
    ccafl, named = default_config().ccafl, {}
    for names, values in rows:
        named.update(zip(re.findall(r"`(\w+)`", names), re.findall(r"`(\w+)`", values), strict=True))
    assert named == {name: str(ccafl[name]) for name in named}
    assert {"precision", "extraction_precision", "channels_last", "compile", "gradient_checkpointing"} < set(named)


def test_the_reports_that_it_names_run_on_a_gpu() -> None:
    found = [name for names in re.findall(r"--only ([\w ]+?)(?: --|`)", PAGE) for name in names.split()]
    assert {"loading", "stage2", "images"} <= set(found)
    assert all("cuda" in REPORTS[name].devices for name in found)


def test_the_line_of_the_log() -> None:
    assert f"`{EncoderPass(nn.BatchNorm1d(2), parts=4)}`" in PAGE
