"""The weights that a training leaves, and a configuration against their description."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchreid
from yacs.config import CfgNode

from ccafl_plugin.config import load_config
from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.models import build_clip
from ccafl_plugin.models.trained_weights import fingerprint_of, load_weights
from ccafl_plugin.models.weights_description import FILE, read, save
from ccafl_plugin.options import options
from ccafl_plugin.runs.described_weights import compare_with_description, describe, trained_on
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import make_manager, write_pictures

SMALL = [
    *["model.name", "clip_tiny", "model.pretrained", "False", "loss.name", "ccafl", "use_gpu", "False"],
    *["data.height", "64", "data.width", "32", "data.workers", "0", "train.max_epoch", "1"],
    *["sampler.train_sampler", "ProxySampler", "sampler.num_instances", "2", "train.batch_size", "8"],
    *["ccafl.iters_per_epoch", "2", "ccafl.stage1.epochs", "1", "data.norm_mean", "[0.5, 0.4, 0.3]"],
    *["data.transforms", "['bicubic_resize', 'random_flip']"],
    *[word for name in ("inter", "alignment", "ical") for word in (f"ccafl.terms.{name}.enabled", "False")],
]


STD = [0.229, 0.224, 0.225]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that kept its text encoder and normalised its test by camera."""
    folder = tmp_path_factory.mktemp("runs") / "log"
    options.reset()
    told = ["ccafl.save_text_encoder", "True", "ccafl.licence", "MIT", "test.camera_normalization", "mean"]
    assert main(["--root", str(root), *SMALL, "data.save_dir", str(folder), *told]) == 0
    return folder


def test_a_training_leaves_weights_that_describe_themselves(trained: Path, root: Path) -> None:
    found = read(trained / FILE)
    described = found.description
    assert (described.model, described.height, described.width) == ("clip_tiny", 64, 32)
    assert described.norm_mean == (0.5, 0.4, 0.3)
    assert (described.interpolation, described.activation) == ("bicubic", "quick_gelu")
    assert (described.feature_dim, described.embedding_dim) == (512, 128)
    assert described.trained_on == "market1501: 54 images, 3 cameras, 18 proxies; intra_camera labels; epochs: 1"
    assert described.licence == "MIT"
    checkpoint = torch.load(trained / "model" / "model.pth.tar-1", weights_only=False)["state_dict"]
    assert found.state.keys() == checkpoint.keys()
    assert all(torch.equal(tensor, checkpoint[name]) for name, tensor in found.state.items())


def test_its_features_are_those_of_the_trained_model(trained: Path, root: Path) -> None:
    """By the data manager's own test transform, with the model loaded by hand."""
    manager = make_manager(root, transforms=["bicubic_resize"], norm_mean=[0.5, 0.4, 0.3], norm_std=STD)
    with options.override(input_size=(64, 32)):
        model = build_clip("clip_tiny", 1, pretrained=False)
    load_weights(model, str(trained / FILE))
    batch = next(iter(manager.test_loader["market1501"]["query"]))
    with torch.no_grad():
        expected = F.normalize(model.eval()(batch["img"]), dim=1)
    extractor = FeatureExtractor(trained, "cpu")
    torch.testing.assert_close(extractor(batch["impath"]), expected, rtol=0, atol=1e-5)
    assert extractor.encode_text("a person").shape == (1, 128)
    statistics = extractor.camera_statistics
    assert isinstance(statistics, CameraStatistics)
    assert (statistics.mode, statistics.dataset) == ("mean", "market1501")
    assert statistics.fingerprint == fingerprint_of(model)


def config(*pairs: str) -> CfgNode:
    return load_config(None, [*SMALL, *pairs])


def test_a_test_of_described_weights(
    trained: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["model.load_weights", str(trained / FILE), "test.evaluate", "True", "data.save_dir", str(tmp_path)]
    assert main(["--root", str(root), *SMALL, *told]) == 0
    out = capsys.readouterr().out
    assert "Loaded 147 of 147 tensors" in out
    assert "Weights with their description" not in out
    assert main(["--root", str(root), *SMALL, *told, "data.height", "96"]) == 1
    assert capsys.readouterr().err.endswith("data.height 96 instead of 64. Set the latter.\n")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["data.width", "48", "data.norm_std", "[1, 1, 1]"],
         f"data.width 48 instead of 32, data.norm_std [1.0, 1.0, 1.0] instead of {STD}. Set the latter."),
        (["data.transforms", "['random_flip']"],
         "interpolation bilinear instead of bicubic. Set the latter, and add bicubic_resize to data.transforms or take "
         "it out."),
        (["ccafl.clip_activation", "gelu"], "ccafl.clip_activation gelu instead of quick_gelu. Set the latter."),
    ],
)  # fmt: skip
def test_a_configuration_against_the_description(
    trained: Path, pairs: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test stops; a training only starts from the weights, so it says what differs and goes on."""
    weights = ["model.load_weights", str(trained / FILE)]
    with pytest.raises(CCAFLError, match=re.escape(message)) as error:
        compare_with_description(config(*weights, *pairs, "test.evaluate", "True"))
    assert str(error.value).startswith(f"model.load_weights: the test differs from the training of '{trained / FILE}'")
    compare_with_description(config(*weights, *pairs))
    assert (
        capsys.readouterr().out
        == f"This run differs from the training of {trained / FILE}: {message.partition('. S')[0]}\n"
    )


def test_a_configuration_of_another_model(trained: Path) -> None:
    weights = ["model.load_weights", str(trained / FILE), "loss.name", "softmax"]
    with pytest.raises(CCAFLError, match=r"holds weights of clip_tiny, but model.name is osnet_x0_25; set it to clip"):
        compare_with_description(config(*weights, "model.name", "osnet_x0_25"))


def test_a_test_uses_the_retrieval_feature_only(trained: Path, tmp_path: Path) -> None:
    content = read(trained / FILE)
    described = dataclasses.replace(content.description, feature="joint", feature_dim=640)
    save(tmp_path / "joint.safetensors", described, content.state)
    weights = ["model.load_weights", str(tmp_path / "joint.safetensors")]
    with pytest.raises(CCAFLError, match=r"describes the feature joint, and a test uses the feature retrieval"):
        compare_with_description(config(*weights, "test.evaluate", "True"))
    compare_with_description(config(*weights))  # a training may start from them


def test_files_without_a_description_are_not_asked(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = trained / "model" / "model.pth.tar-1"
    compare_with_description(config("model.load_weights", str(checkpoint), "data.height", "96"))
    assert capsys.readouterr().out == ""


def test_torchreids_models_are_described_too() -> None:
    model = torchreid.models.build_model("osnet_x0_25", 3, pretrained=False).train()
    told = ["model.name", "osnet_x0_25", "loss.name", "softmax", "data.transforms", "['random_flip']"]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    described = describe(config(*told), torch.nn.DataParallel(model), "noise")
    assert (described.model, described.feature_dim, described.embedding_dim) == ("osnet_x0_25", 512, 0)
    assert (described.activation, described.interpolation, described.licence) == ("", "bilinear", "not stated")
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    train = [("a.jpg", 0, 0, 0), ("b.jpg", 0, 1, 0), ("c.jpg", 1, 1, 0), ("d.jpg", 0, 0, 1)]
    assert trained_on(config(*told), train).endswith("4 images, 3 cameras, 4 proxies; full labels; epochs: 1")


def test_a_text_encoder_that_is_not_there_cannot_be_kept() -> None:
    with pytest.raises(CCAFLError, match=r"^ccafl.save_text_encoder: 'osnet_x0_25' has no text encoder"):
        config("model.name", "osnet_x0_25", "loss.name", "softmax", "ccafl.save_text_encoder", "True")
