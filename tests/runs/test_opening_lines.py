"""The first lines of a log."""

from __future__ import annotations

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.runs.opening_lines import WIDTH, compact_yaml, opening_lines

VALUES = st.one_of(
    st.integers(), st.floats(allow_nan=False), st.booleans(), st.text(max_size=20), st.lists(st.integers(), max_size=9)
)
TREES = st.recursive(
    st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), VALUES, max_size=5),
    lambda below: st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), below | VALUES, max_size=5),
)


@given(TREES)
def test_compact_yaml_reads_back(tree: dict[str, object]) -> None:
    text = "\n".join(compact_yaml(tree))
    assert (yaml.safe_load(text) or {}) == tree


FACTS = {"device": "GPU", "cores": 1, "threads": 1}


@pytest.mark.parametrize(("precision", "words"), [("highest", "without TF32"), ("high", "with TF32")])
def test_a_gpu_says_how_it_computes_in_float32(monkeypatch: pytest.MonkeyPatch, precision: str, words: str) -> None:
    config = load_config(None, ["ccafl.matmul_precision", precision])
    assert "TF32" not in opening_lines(config, "config.yaml", "system.txt").split("Settings that")[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("ccafl_plugin.runs.opening_lines.machine", lambda _: FACTS)
    line = f"Float32 on the GPU: {words} (ccafl.matmul_precision {precision})"
    assert line in opening_lines(config, "config.yaml", "system.txt").splitlines()


def test_the_first_command_shows_its_settings_in_few_lines() -> None:
    config = load_config(configs_folder() / "synthetic" / "ccafl_margin_tiny.yaml")
    lines = opening_lines(config, "config.yaml", "system.txt").splitlines()
    assert len(lines) < 30
    assert all(len(line) <= WIDTH for line in lines[4:])
    assert "sampler: {train_sampler: ProxySampler}" in lines
