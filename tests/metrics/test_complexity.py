"""Parameters and multiply-adds against hand counts and against published figures."""

from __future__ import annotations

import open_clip
import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin.metrics.complexity import retrieval_complexity


class Small(nn.Module):
    """A convolution, a linear layer, and a classifier that retrieval does without."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.linear = nn.Linear(4, 5)
        self.classifier = nn.Linear(5, 7)
        self.linear.weight.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        feature = self.linear(self.convolution(images).mean((2, 3)))
        return self.classifier(feature) if self.training else feature


@pytest.mark.parametrize("training", [True, False])
def test_hand_count_and_nothing_left_behind(training: bool) -> None:
    model = Small().train(training)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    assert retrieval_complexity(model, 8, 6) == (3 * 4 * 9 + 4 * 5 + 5, 8 * 6 * 3 * 4 * 9 + 4 * 5)
    assert model.training == training
    assert not model.linear.weight.requires_grad
    assert model.convolution.weight.requires_grad
    for name, parameter in model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])


def test_a_frozen_parameter_counts_too() -> None:
    model = Small().requires_grad_(False)
    assert retrieval_complexity(model, 8, 6).parameters == 3 * 4 * 9 + 4 * 5 + 5


@pytest.mark.parametrize(
    ("name", "millions", "giga"),
    [("RN50-quickgelu", 38.32, 6.11), ("ViT-B-16-quickgelu", 86.19, 17.57)],
)
def test_published_figures_of_clips_image_encoders(name: str, millions: float, giga: float) -> None:
    """Of open_clip's table of models, whose 12.22 and 35.13 GFLOPs count multiplications and additions apart."""
    tower = open_clip.CLIP(**open_clip.get_model_config(name)).visual
    found = retrieval_complexity(tower, 224, 224)
    assert found.parameters / 1e6 == pytest.approx(millions, abs=0.006)
    assert found.multiply_adds / 1e9 == pytest.approx(giga, abs=0.011)


def test_published_figures_of_torchreids_model_zoo() -> None:
    for name, millions, giga in (("osnet_x0_25", 0.2, 0.08), ("mobilenetv2_x1_0", 2.2, 0.2)):
        model = torchreid.models.build_model(name, num_classes=3, pretrained=False)
        found = retrieval_complexity(model, 256, 128)
        assert found.parameters / 1e6 == pytest.approx(millions, abs=0.05)
        assert found.multiply_adds / 1e9 == pytest.approx(giga, abs=0.02)
