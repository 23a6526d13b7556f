"""Activation maps of any encoder, and what prompts are compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchreid
from PIL import Image
from torch.nn import functional as F

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.options import options
from ccafl_plugin.report.activation_maps import STRENGTH, feature_map_strength, overlaid
from ccafl_plugin.report.learned_prompts import Prompts, comparison, how_near, nearest_words
from ccafl_plugin.utils.errors import CCAFLError
from tests.models.small_open_clip import add_small_architectures


def built(name: str, **settings) -> torch.nn.Module:
    torch.manual_seed(0)
    with options.override(input_size=(64, 32)):
        return torchreid.models.build_model(name, 3, pretrained=False, **settings).eval()


@torch.no_grad()
def test_the_map_of_a_resnet_is_its_last_layer() -> None:
    model, images = built("clip_tiny", loss="ccafl"), torch.randn(2, 3, 64, 32)
    expected = model.image_encoder(images)
    found = feature_map_strength(model, images)
    assert found.shape == (2, 4, 2)
    for image in range(2):
        for row in range(4):
            for column in range(2):
                slow = sum(value**2 for value in expected[image, :, row, column].tolist())
                assert found[image, row, column].item() == pytest.approx(slow, rel=1e-4)


@torch.no_grad()
def test_the_map_of_a_transformer_has_its_patches(tmp_path) -> None:
    add_small_architectures(tmp_path)
    model = built("open_clip/small-vit", loss="ccafl")
    images = torch.randn(2, 3, 64, 32)
    found = feature_map_strength(model, images)
    assert found.shape == (2, *model.image_encoder.grid_of(64, 32)) and (found > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("name", ["osnet_x0_25", "shufflenet"])
def test_maps_of_torchreids_models(name: str) -> None:
    """One shows its feature maps, the other does not."""
    model = built(name)
    if name == "shufflenet":
        with pytest.raises(CCAFLError, match="ShuffleNet does not show its feature maps"):
            feature_map_strength(model, torch.randn(1, 3, 64, 32))
        return
    assert feature_map_strength(model, torch.randn(2, 3, 64, 32)).shape == (2, 4, 2)


def test_a_map_lies_over_its_picture() -> None:
    picture = Image.new("RGB", (8, 16), (200, 200, 200))
    strength = np.zeros((2, 1), dtype=np.float32)
    strength[1] = 1
    drawn = np.asarray(overlaid(picture, strength)).astype(int)
    assert drawn.shape == (16, 8, 3)
    assert drawn[-1].sum() > drawn[0].sum()
    assert abs(drawn[0, 0] - (1 - STRENGTH) * 200).max() < 4  # inferno begins near black


def test_images_are_compared_with_the_prompts_of_their_camera() -> None:
    rng = np.random.default_rng(0)
    train = [(f"{i:03}", int(rng.integers(0, 4)), int(rng.integers(0, 3)), 0) for i in range(60)]
    labels = ProxyLabels.from_tuples(train)
    generator = torch.Generator().manual_seed(0)
    text = F.normalize(torch.randn(labels.num_proxies, 5, generator=generator), dim=1)
    images = torch.arange(0, 60, 2)
    embeddings = F.normalize(torch.randn(len(images), 5, generator=generator), dim=1)
    prompts = Prompts(torch.zeros(0), text, torch.arange(labels.num_proxies), labels, images)
    found = comparison(prompts, embeddings)
    own, others, right, chance = [], [], 0, 0.0
    for row, image in enumerate(images.tolist()):
        proxy, camera = int(labels.proxy_of_image[image]), int(labels.camera_of_image[image])
        cosines = {
            each: float(embeddings[row] @ text[each])
            for each in range(labels.num_proxies)
            if labels.camera_of_proxy[each] == camera
        }
        own.append(cosines[proxy])
        others += [cosine for each, cosine in cosines.items() if each != proxy]
        right += max(cosines, key=cosines.get) == proxy
        chance += 1 / len(cosines)
    assert sorted(found.own.tolist()) == pytest.approx(sorted(own), abs=1e-6)
    assert sorted(found.others.tolist()) == pytest.approx(sorted(others), abs=1e-6)
    assert (found.right, found.chance) == pytest.approx((right / 30, chance / 30))


def test_nearest_words() -> None:
    words = F.normalize(torch.eye(4) + 0.1, dim=1)
    names = ["red", "blue", "coat", "hat"]
    found = nearest_words(torch.tensor([[0.0, 0, 7, 0], [0.0, 3, 0, 0]]), words, names)
    assert [name for name, _ in found] == ["coat", "blue"]
    assert found[0][1] == pytest.approx(float(words[2, 2]))
    said = how_near(torch.eye(4)[None], torch.eye(4), 4)
    assert said.startswith("The nearest of 4 words has a cosine of 1.00 on average, and of 0.")
