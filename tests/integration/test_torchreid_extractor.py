"""torchreid's own FeatureExtractor on files that describe themselves."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchreid
from PIL import Image

from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.integration.torchreid_layout import torchreid_module
from ccafl_plugin.models.weights_description import WeightsDescription, save
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError


def make(path, **settings):
    return torchreid_module("utils").FeatureExtractor(model_path=str(path), device="cpu", verbose=False, **settings)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """clip_vit_b16 would be too large: a small ResNet CLIP at another size than torchreid's default, 256 x 128."""
    torch.manual_seed(0)
    with options.override(input_size=(64, 32)):
        model = torchreid.models.build_model("clip_tiny", 1, pretrained=False)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    described = WeightsDescription("clip_tiny", 64, 32, 512, activation="quick_gelu", norm_std=(0.3, 0.2, 0.2))
    save(path, described, model.state_dict())
    return path


@pytest.fixture(scope="module")
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((50, 120), Image.Resampling.BICUBIC))


def test_a_described_file_gives_its_features_without_further_arguments(file, picture) -> None:
    expected = FeatureExtractor(file, "cpu")(picture)
    for settings in ({}, {"model_name": "clip_tiny"}, {"model_name": "clip_tiny", "image_size": (64, 32)}):
        torch.testing.assert_close(F.normalize(make(file, **settings)(picture), dim=1), expected, rtol=0, atol=1e-5)


def test_a_file_without_description_at_another_size_is_a_line(file, picture, tmp_path) -> None:
    """The features are others there, as the model sees another size; cosine 0.52 was seen in silence."""
    extractor = make(file)
    torch.save(extractor.model.state_dict(), tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="trained with images that give 4 x 2 positions, but the model's give 16 x 8"):
        other = make(tmp_path / "w.pth", model_name="clip_tiny")
    assert not torch.allclose(F.normalize(other(picture), dim=1), F.normalize(extractor(picture), dim=1), atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": (256, 128)}, "height 256 instead of 64, width 128 instead of 32"),
        ({"model_name": "clip_rn50"}, "model clip_rn50 instead of clip_tiny"),
        ({"pixel_mean": [0.5, 0.5, 0.5]}, "norm_mean [0.5, 0.5, 0.5] instead of [0.485, 0.456, 0.406]"),
        ({"pixel_norm": False}, "pixel_norm False"),
    ],
)
def test_what_contradicts_the_description_is_one_line(file, settings, message) -> None:
    with pytest.raises(CCAFLError, match=re.escape(f"was trained otherwise: {message}.")):
        make(file, **settings)


def test_files_of_embeddings_are_for_the_other_extractor(file, tmp_path) -> None:
    described = WeightsDescription("clip_tiny", 64, 32, 128, "embedding", embedding_dim=128)
    save(tmp_path / "w.safetensors", described, {"a": torch.zeros(1)})
    with pytest.raises(CCAFLError, match=r"use ccafl_plugin\.features\.FeatureExtractor"):
        make(tmp_path / "w.safetensors")


def test_load_pretrained_weights_takes_the_model_out_of_a_described_file(file, capsys) -> None:
    with options.override(input_size=(64, 32)):
        model = torchreid.models.build_model("clip_tiny", 1, pretrained=False)
    torchreid.utils.load_pretrained_weights(model, str(file))
    assert "discarded" not in capsys.readouterr().out
