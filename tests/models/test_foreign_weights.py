"""The authors' released models and CLIP-ReID's: every tensor is accounted for, and features are theirs."""

from __future__ import annotations

import open_clip
import pytest
import torch
import torchreid

from ccafl_plugin.models import build_clip
from ccafl_plugin.models.described_model import FeatureModel
from ccafl_plugin.models.weights_of_others import Said, convert, described, of_torchreid
from ccafl_plugin.utils.errors import CCAFLError
from tests.models.foreign_layouts import (
    authors_feature,
    authors_file,
    clipreid_feature,
    clipreid_file,
    neck,
    prompts,
    text_encoder,
)

IMAGES = torch.randn(2, 3, 256, 128, generator=torch.Generator().manual_seed(5))


def test_the_authors_model_gives_their_features() -> None:
    state, visual = authors_file()
    made = convert(state, "a file", Said())
    description, model = described(made)
    assert (description.model, description.feature, description.feature_dim) == ("clip_tiny", "retrieval", 512)
    assert (description.height, description.width, description.interpolation) == (256, 128, "bicubic")
    assert description.activation == "quick_gelu"
    with torch.no_grad():
        found = FeatureModel(model, "retrieval")(IMAGES)
    torch.testing.assert_close(found, authors_feature(visual, state, IMAGES), rtol=0, atol=1e-5)


def test_clipreids_model_gives_its_features() -> None:
    state, visual = clipreid_file()
    made = convert(state, "a file", Said())
    description, model = described(made)
    assert made.kind == "CLIP-ReID"
    assert (description.feature, description.feature_dim, description.interpolation) == ("joint", 640, "bilinear")
    assert description.norm_mean == (0.485, 0.456, 0.406)
    with torch.no_grad():
        found = FeatureModel(model, "joint")(IMAGES)
    torch.testing.assert_close(found, clipreid_feature(visual, IMAGES), rtol=0, atol=1e-5)
    assert made.notes[-1] == "average pooling, as GeM with the exponent 1"


@pytest.mark.parametrize("file", [authors_file, clipreid_file])
def test_every_tensor_is_used_or_left_over(file) -> None:
    state, _ = file()
    made = convert(state, "a file", Said())
    assert made.renamed.keys() | made.left_over.keys() == state.keys()
    assert not made.renamed.keys() & made.left_over.keys()
    assert all(
        torch.equal(made.state[new], state[old].reshape(made.state[new].shape)) for old, new in made.renamed.items()
    )
    beginnings = {name.removeprefix("module.").partition(".")[0] for name in made.left_over}
    classifiers = {"classifier", "classifier_proj"} if file is clipreid_file else set()
    assert beginnings == {"prompt_learner", "text_encoder", "bottleneck_proj", "bottleneck"} | classifiers
    assert not any("not known" in why for why in made.left_over.values())


def test_half_precision_becomes_float32() -> None:
    state, _ = authors_file()
    made = convert({name: x.half() if x.is_floating_point() else x for name, x in state.items()}, "a file", Said())
    assert {x.dtype for x in made.state.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("before", [5, 6])
def test_where_learned_words_stand_is_told(before: int) -> None:
    """Behind 5 words for Market-1501 and MSMT17, behind 6 for DukeMTMC-reID."""
    state, _ = authors_file(prefix="")
    made = convert(state | prompts(3, before), "a file", Said())
    assert f"learned prompt words stand behind {before} words (the start of text apart)" in made.notes


def real_names(config: str) -> dict[str, torch.Tensor]:
    """The image encoder's tensors of a real size, on no device, with positions for 256 x 128."""
    with torch.device("meta"):
        visual = open_clip.CLIP(**open_clip.get_model_config(config)).visual
    state = {f"image_encoder.{name}": tensor for name, tensor in visual.state_dict().items()}
    key = next(name for name in state if name.endswith("positional_embedding"))
    state[key] = torch.empty(129, state[key].shape[1], device="meta")
    return state


@pytest.mark.parametrize(
    ("config", "name", "length"),
    [("RN50-quickgelu", "clip_rn50", 2048), ("ViT-B-16-quickgelu", "clip_vit_b16", 768)],
)
def test_names_and_shapes_of_the_real_sizes(config: str, name: str, length: int) -> None:
    """Without numbers: 38 and 86 million of them."""
    state = real_names(config) | neck(length, "bottleneck") | neck(512, "bottleneck_proj")
    state |= prompts(3262, 5, 512) | text_encoder() | {"classifier.weight": torch.empty(1, length)}
    made = convert(state, "a file", Said())
    assert made.said.model == name
    with torch.device("meta"):
        own = build_clip(name, 1, "ccafl", pretrained=False).state_dict()
    assert {key: tuple(x.shape) for key, x in made.state.items()} == {key: tuple(x.shape) for key, x in own.items()}
    expected = (0.5,) * 3 if name == "clip_vit_b16" else None
    assert made.said.norm_mean == expected


def test_camera_embeddings_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    state = clipreid_file()[0] | {"cv_embed": torch.zeros(6, 512)}
    made = convert(state, "a file", Said())
    assert made.left_over["cv_embed"] == "embeddings of cameras or views, which this package's models do not have"
    assert "features are those of no camera: the file has embeddings of 6 cameras or views" in made.notes[-1]


def test_what_can_not_be_converted_is_one_line() -> None:
    state, _ = authors_file(prefix="")
    rows = 21 * 10 + 1
    overlapping = real_names("ViT-B-16-quickgelu") | neck(768, "bottleneck")
    overlapping["image_encoder.positional_embedding"] = torch.empty(rows, 768, device="meta")
    for given, said, message in (
        ({"a": torch.zeros(1)}, Said(), r"^x: its tensors \(a, \.\.\.\) are in no layout that is known"),
        (state, Said(size=(128, 64)), "positions are not those of 128 x 64 pixels: name the size of its training"),
        (overlapping, Said(), r"its patches overlap \(stride 12\)"),
        (state | {"bottleneck.bias": torch.ones(512)}, Said(), "bottleneck.bias is not 0"),
        (state | neck(300, "bottleneck"), Said(), "its feature has 300 numbers, as no CLIP of this package"),
        (real_names("ViT-B-16-quickgelu") | neck(2048, "bottleneck"), Said(), None),
    ):
        with pytest.raises(CCAFLError, match=message) as error:
            described(convert(given, "x", said))
        assert "\n" not in str(error.value)


def test_checkpoints_of_this_package(build_tiny) -> None:
    model = build_tiny("softmax").eval()
    made = convert({f"module.{name}": tensor for name, tensor in model.state_dict().items()}, "a file", Said())
    description, again = described(made)
    assert (description.height, description.width, description.model) == (64, 32, "clip_tiny")
    assert list(made.left_over) == ["module.classifier.weight"]
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    said = Said(norm_mean=(0.1, 0.2, 0.3), trained_on="mine", licence="MIT")
    description, _ = described(convert(model.state_dict(), "a file", said))
    assert (description.norm_mean, description.trained_on, description.licence) == ((0.1, 0.2, 0.3), "mine", "MIT")


def test_torchreids_files_keep_their_names() -> None:
    model = torchreid.models.build_model("osnet_x0_25", 7, pretrained=False).eval()
    made = of_torchreid({f"module.{name}": x for name, x in model.state_dict().items()}, Said(model="osnet_x0_25"))
    description, again = described(made)
    assert (description.height, description.width, description.interpolation) == (256, 128, "bilinear")
    assert set(made.left_over) == {"module.classifier.weight", "module.classifier.bias"}
    images = torch.randn(1, 3, 256, 128)
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
