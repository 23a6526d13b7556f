"""The key ``base`` of a configuration: a file beside it, or a shipped one by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccafl_plugin.config import load_config


@pytest.mark.parametrize("name", ["configs/synthetic/base_medium.yaml", "synthetic/base_medium.yaml"])
def test_a_shipped_file_from_any_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.yaml"
    file.write_text(f"base: {name}\ntrain: {{max_epoch: 3}}\n")
    config = load_config(file)
    assert (config.train.max_epoch, config.ccafl.synthetic.size) == (3, "medium")


def test_a_file_beside_it_comes_first(tmp_path: Path) -> None:
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "base_medium.yaml").write_text("train: {max_epoch: 7}\n")
    file = tmp_path / "mine.yaml"
    file.write_text("base: synthetic/base_medium.yaml\n")
    assert load_config(file).train.max_epoch == 7
