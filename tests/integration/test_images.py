"""Transforms by name, reading of images and FeatureExtractor's preprocessing."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch
import torchreid
from PIL import Image
from torch import nn
from torchvision.transforms import InterpolationMode, Resize
from torchvision.transforms import functional as F

from ccafl_plugin.data.transforms import PadCrop
from ccafl_plugin.integration.images import TORCHREID_TRANSFORMS
from ccafl_plugin.integration.torchreid_layout import torchreid_module
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError

ALL = list(TORCHREID_TRANSFORMS)


def build(*args, **kwargs):
    """As the data manager calls it."""
    return torchreid_module("data.datamanager").build_transforms(*args, **kwargs)


def original(*args, **kwargs):
    return torchreid_module("data.transforms").build_transforms.__wrapped__(*args, **kwargs)


def noise(height: int = 50, width: int = 30) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def steps(transform) -> list[str]:
    return [type(step).__name__ for step in transform.transforms]


def applied(transform, image: Image.Image) -> torch.Tensor:
    random.seed(3)
    torch.manual_seed(3)
    return transform(image)


@pytest.mark.parametrize("names", [None, [], "random_flip", ["Random_Flip"], ALL, ["random_crop", "random_erase"]])
def test_torchreids_names_give_the_same_pixels_and_the_same_log(names, capsys):
    results, logs = [], []
    for function in (build, original):
        pair = function(40, 20, transforms=names, norm_mean=[0.4, 0.5, 0.6], norm_std=None)
        logs.append(capsys.readouterr().out)
        results.append([applied(transform, noise()) for transform in pair])
        assert [steps(transform) for transform in pair] == [steps(transform) for transform in original(40, 20, names)]
        capsys.readouterr()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))
    assert logs[0] == logs[1]


def test_defaults_and_positions_of_arguments_stay():
    assert steps(build(40, 20)[0]) == steps(original(40, 20)[0])
    assert steps(build(40, 20, "random_erase", None, None)[0]) == steps(original(40, 20, "random_erase")[0])
    with pytest.raises(ValueError, match="transforms must be a list"):
        build(40, 20, transforms=3)


def test_bicubic_resize_in_training_and_test():
    train, test = build(40, 20, transforms=["bicubic_resize"], norm_mean=[0.0] * 3, norm_std=[1.0] * 3)
    expected = F.to_tensor(F.resize(noise(), [40, 20], InterpolationMode.BICUBIC))
    assert torch.equal(train(noise()), expected)
    assert torch.equal(test(noise()), expected)
    assert not torch.equal(original(40, 20, [], [0.0] * 3, [1.0] * 3)[1](noise()), expected)


def test_the_papers_augmentation_in_its_order():
    train, test = build(256, 128, transforms=["bicubic_resize", "random_flip", "pad_crop", "random_erase"])
    assert steps(train) == ["Resize", "RandomHorizontalFlip", "PadCrop", "ToTensor", "Normalize", "RandomErasing"]
    assert steps(test) == ["Resize", "ToTensor", "Normalize"]
    assert all(transform.transforms[0].interpolation is InterpolationMode.BICUBIC for transform in (train, test))
    assert repr(train.transforms[2]) == "PadCrop(height=256, width=128, padding=10)"
    assert train(noise()).shape == (3, 256, 128)


def test_small_pictures_are_padded_by_less():
    with options.override(crop_padding=4):
        train, _ = build(96, 48, transforms=["pad_crop"])
    assert repr(train.transforms[1]) == "PadCrop(height=96, width=48, padding=4)"


def test_pad_crop_without_a_flip_and_among_others():
    train, test = build(40, 20, transforms="Pad_Crop")
    assert steps(train) == ["Resize", "PadCrop", "ToTensor", "Normalize"]
    assert not any(isinstance(step, PadCrop) for step in test.transforms)
    assert train.transforms[0].interpolation is InterpolationMode.BILINEAR
    train, _ = build(40, 20, transforms=["color_jitter", "pad_crop", "random_patch", "random_flip"])
    assert steps(train)[:5] == ["Resize", "RandomHorizontalFlip", "PadCrop", "RandomPatch", "ColorJitter"]


def test_the_callers_list_is_left_alone():
    names = ["pad_crop", "random_flip"]
    build(40, 20, transforms=names)
    assert names == ["pad_crop", "random_flip"]


def test_two_random_crops_are_refused():
    with pytest.raises(CCAFLError, match="pad_crop and random_crop"):
        build(40, 20, transforms=["random_crop", "pad_crop"])


def test_a_misspelt_name_is_told():
    with pytest.warns(UserWarning, match="'pad_corp' is not known and does nothing. Did you mean 'pad_crop'?"):
        build(40, 20, transforms=["pad_corp", "random_flip"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(40, 20, transforms=[*ALL, "bicubic_resize"])


# Reading


def test_images_are_read_as_before(tmp_path):
    path = tmp_path / "grey.png"
    noise().convert("L").save(path)
    read = torchreid_module("utils.tools").read_image(str(path))
    assert read.mode == "RGB"
    assert np.array_equal(np.asarray(read), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("module", ["utils", "utils.tools", "data.datasets.dataset"])
def test_a_broken_image_is_named_instead_of_read_for_ever(tmp_path, module):
    path = tmp_path / "0001_c1s1_000001_00.jpg"
    noise(200, 100).save(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(CCAFLError, match=r"0001_c1s1_000001_00\.jpg"):
        torchreid_module(module).read_image(str(path))


# FeatureExtractor


class MeanColour(nn.Module):
    """Gives an image's mean colour per half, which a resize with another filter changes."""

    def __init__(self, ours: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.is_ccafl_backbone = ours

    def forward(self, images):
        return images.flatten(1)


@pytest.fixture
def extractor(monkeypatch):
    def make(ours: bool):
        factory = getattr(torchreid.models, "__model_factory")
        monkeypatch.setitem(factory, "mean_colour", lambda **_: MeanColour(ours))
        return torchreid_module("utils").FeatureExtractor(
            "mean_colour", image_size=(24, 12), device="cpu", verbose=False, pixel_mean=[0.5] * 3, pixel_std=[0.25] * 3
        )

    return make


def test_feature_extractor_resizes_bicubically_for_the_plugins_models(extractor, tmp_path):
    path = tmp_path / "image.png"
    noise().save(path)
    array = np.asarray(noise())
    resized = F.to_tensor(F.resize(noise(), [24, 12], InterpolationMode.BICUBIC))
    expected = ((resized - 0.5) / 0.25).flatten()
    made = extractor(ours=True)
    for given in (str(path), [str(path)], array, [array]):
        assert torch.equal(made(given)[0], expected)
    tensor = torch.rand(2, 3, 24, 12)
    assert torch.equal(made(tensor), tensor.flatten(1))


def test_feature_extractor_is_as_before_for_torchreids_models(extractor):
    made = extractor(ours=False)
    resize = made.preprocess.transforms[0]
    assert isinstance(resize, Resize)
    assert resize.interpolation is InterpolationMode.BILINEAR


def test_feature_extractor_takes_the_positions_of_a_checkpoint(tmp_path):
    """torchreid drops tensors of another shape in silence; the model is built for the extractor's size instead."""
    with options.override(input_size=(64, 32)):
        model = torchreid.models.build_model("clip_tiny", 1, pretrained=False)
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        expected = model.eval()(images)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pth.tar-1")
    extractor = torchreid_module("utils").FeatureExtractor(
        "clip_tiny", str(tmp_path / "model.pth.tar-1"), image_size=(64, 32), device="cpu", verbose=False
    )
    torch.testing.assert_close(extractor(images), expected)
    positions = {name: tensor for name, tensor in model.state_dict().items() if "positional" in name}
    assert positions
    assert all(torch.equal(extractor.model.state_dict()[name], tensor) for name, tensor in positions.items())
    assert options.input_size == (256, 128)


def test_the_log_lists_the_plugins_transforms_where_they_stand(capsys):
    build(40, 20, transforms=["bicubic_resize", "random_flip", "pad_crop", "random_erase"])
    assert capsys.readouterr().out.splitlines() == [
        "Building train transforms ...",
        "+ resize to 40x20, bicubic",
        "+ random flip",
        "+ random crop of 40x20 from the image padded by 10 pixels",
        "+ to torch tensor of range [0, 1]",
        "+ normalization (mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])",
        "+ random erase",
        "Building test transforms ...",
        "+ resize to 40x20, bicubic",
        "+ to torch tensor of range [0, 1]",
        "+ normalization (mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])",
    ]
    build(40, 20, transforms=["pad_crop"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["+ resize to 40x20", "+ random crop of 40x20 from the image padded by 10 pixels"]
    assert sum("random crop" in line for line in lines) == 1
