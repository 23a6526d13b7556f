"""Trainings with encoders of open_clip: one that reads prompts, one without text terms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.runs.train_command import main
from tests.engine.small_runs import write_pictures
from tests.models.small_open_clip import add_small_architectures
from tests.runs.test_described_weights import SMALL

WITHOUT_TEXT = ["ccafl.terms.icdl.weight_alignment", "0"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    add_small_architectures(tmp_path_factory.mktemp("configs"))
    return write_pictures(tmp_path_factory.mktemp("root"))


@pytest.mark.parametrize(("name", "told"), [("small-vit", []), ("small-siglip", WITHOUT_TEXT)])
def test_a_training(name: str, told: list[str], root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = [*told, "model.name", f"open_clip/{name}", "data.save_dir", str(tmp_path), "ccafl.save_text_encoder", "True"]
    assert main(["--root", str(root), *SMALL, *told]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert ("=> Stage 1: learning prompts" in printed) == (name == "small-vit")
    extractor = FeatureExtractor(tmp_path, "cpu")
    described = extractor.description
    assert described.model == f"open_clip/{name}"
    assert described.norm_mean == (0.5, 0.4, 0.3)  # given; the deviation is the encoder's own
    assert described.norm_std == (0.26862954, 0.26130258, 0.27577711)
    assert extractor(np.zeros((9, 9, 3), np.uint8)).shape == (1, 64)
    assert main(["--root", str(root), *SMALL, *told, "model.load_weights", str(tmp_path / "weights.safetensors"),
                 "test.evaluate", "True"]) == 0  # fmt: skip
