"""The page on weights: its programs run, and its table names what a description holds."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ccafl_plugin.models import build_clip
from ccafl_plugin.models.weights_description import FILE, WeightsDescription, save
from ccafl_plugin.options import options
from tests.layouts_torchreid import REPOSITORY

PAGE = (REPOSITORY / "docs" / "weights.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page's programs read: a run's weights, a query and a gallery."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    with options.override(input_size=(64, 32)):
        model = build_clip("clip_tiny", 1, pretrained=False)
    described = WeightsDescription("clip_tiny", 64, 32, 512, activation="quick_gelu", embedding_dim=128)
    save(folder / "log" / FILE, described, model.state_dict(), model.text_encoder.state_dict())
    (folder / "gallery").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "gallery" / f"{number}.jpg")
    shutil.copy(folder / "gallery" / "1.jpg", folder / "query.jpg")
    return folder


def test_its_programs_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    exec(PROGRAMS[0], names)
    assert names["similarity"].argmax() == 1
    exec(PROGRAMS[1], names)
    assert names["similarity"].shape == (1, 3)
    exec(PROGRAMS[2], names)
    assert names["extractor"].description.licence == "MIT"
    exec(PROGRAMS[3], {})


def test_its_table_names_the_entries() -> None:
    rows = " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == {field.name for field in dataclasses.fields(WeightsDescription)}
