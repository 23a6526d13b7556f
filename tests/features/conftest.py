"""Small described files and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchreid
from PIL import Image

from ccafl_plugin.models import ClipReID, build_clip
from ccafl_plugin.models.weights_description import WeightsDescription, save
from ccafl_plugin.options import options

SIZE = (64, 32)


@pytest.fixture(scope="session")
def tiny_model() -> ClipReID:
    """clip_tiny with random weights for 64 x 32, in eval mode; to be read only."""
    torch.manual_seed(3)
    with options.override(input_size=SIZE):
        model = build_clip("clip_tiny", 4, "ccafl", pretrained=False)
    return model.eval()


TINY = WeightsDescription(
    model="clip_tiny",
    height=SIZE[0],
    width=SIZE[1],
    feature_dim=512,
    norm_mean=(0.5, 0.4, 0.3),
    norm_std=(0.2, 0.3, 0.25),
    activation="quick_gelu",
    embedding_dim=128,
    trained_on="noise",
    licence="MIT",
)


@pytest.fixture(scope="session")
def tiny_weights(tiny_model: ClipReID, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip_tiny's described file, with its text encoder."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(path, TINY, tiny_model.state_dict(), tiny_model.text_encoder.state_dict())
    return path


@pytest.fixture(scope="session")
def osnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A described file of torchreid's smallest OSNet, with random weights."""
    torch.manual_seed(4)
    model = torchreid.models.build_model("osnet_x0_25", 3, pretrained=False)
    path = tmp_path_factory.mktemp("weights") / "osnet.safetensors"
    described = WeightsDescription("osnet_x0_25", 128, 64, 512, interpolation="bilinear")
    save(path, described, model.state_dict())
    return path


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of seven lossless pictures of several sizes, two of them in a folder below it."""
    folder = tmp_path_factory.mktemp("crops")
    (folder / "below").mkdir()
    for number in range(7):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 256, (40 + 7 * number, 20 + 3 * number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("below" if number > 4 else "") / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    return folder
