"""Loading a configuration: merging, types, and every mistake as one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ccafl_plugin.config import default_config, load_config
from ccafl_plugin.config.arguments import option_values
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.terms import TERMS
from ccafl_plugin.utils.errors import CCAFLError


def test_file_pairs_and_flags_win_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("train: {lr: 0.5, max_epoch: 7}\ndata: {width: 64}\n")
    (tmp_path / "own.yaml").write_text("base: base.yaml\ntrain: {max_epoch: 8}\ndata: {root: here}\n")
    config = load_config(tmp_path / "own.yaml", ["data.width", "32", "data.root", "there"], root="flag")
    assert (config.train.lr, config.train.max_epoch, config.data.width, config.data.root) == (0.5, 8, 32, "flag")
    assert config.is_frozen()


@pytest.mark.parametrize(
    ("pairs", "key", "value"),
    [
        (["train.lr", "5e-4"], "train.lr", 5e-4),
        (["train.lr", "1"], "train.lr", 1.0),
        (["data.transforms", "['random_flip', 'random_erase']"], "data.transforms", ["random_flip", "random_erase"]),
        (["data.sources", "market1501"], "data.sources", ["market1501"]),
        (["train.stepsize", "[1, 2]", "train.lr_scheduler", "multi_step"], "train.stepsize", [1, 2]),
        (["use_gpu", "False"], "use_gpu", False),
        (["ccafl.association.nearest_pairs.rate", "1"], "ccafl.association.nearest_pairs.rate", 1.0),
    ],
)
def test_values_from_the_command_line(pairs: list[str], key: str, value: object) -> None:
    node = load_config(None, pairs)
    for name in key.split("."):
        node = node[name]
    assert node == value
    assert type(node) is type(value)


MISTAKES = [
    (["train.lrr", "1"], ["train.lrr", "Did you mean 'train.lr'?", "train.max_epoch"]),
    (["trian.lr", "1"], ["trian.lr", "Did you mean 'train.lr'?"]),
    (["ccafl.terms.icdll.weight", "1"], ["Did you mean 'ccafl.terms.icdl.weight'?"]),
    (["train", "1"], ["train: expected keys below it"]),
    (["train.lr", "fast"], ["train.lr: expected a number", "'fast'"]),
    (["train.max_epoch", "1.5"], ["train.max_epoch: expected a whole number"]),
    (["use_gpu", "1"], ["use_gpu: expected True or False"]),
    (["train.lr"], ["'train.lr' has no value"]),
    (["train.lr=1"], ["train.lr=1: a key and its value are two words. Write train.lr 1"]),
    (["train.lr=1", "train.max_epoch=2"], ["Write train.lr 1"]),
    (
        ["train.lr", "1", "--root", "here"],
        ["--root: options come before the KEY VALUE pairs", "Put it before 'train.lr'"],
    ),
    (["train.lr", "1", "-s"], ["-s: options come before"]),
    (["train.lr", "1", "--config-file=x.yaml"], ["--config-file=x.yaml: options come before"]),
    (["ccafl.label_noise.wrong", "2"], ["ccafl.label_noise.wrong: 2.0 is out of range"]),
    (
        ["ccafl.association.nearest_pairs.rate", ".inf"],
        ["nearest_pairs.rate: inf is out of range, it must be at least 0"],
    ),
    (["ccafl.synthetic.cameras", "5"], ["ccafl.synthetic.cameras: synthetic_persons has 6 to 99 cameras, not 5"]),
    (
        ["sampler.train_sampler", "ProxySampler", "train.batch_size", "9"],
        ["train.batch_size: 9 is not a multiple of sampler.num_instances (4)"],
    ),
    (["train.lr", "-1"], ["train.lr: -1.0 is out of range"]),
    (["train.batch_size", "0"], ["train.batch_size: 0 is out of range, it must be at least 1"]),
    (["ccafl.terms.icdl.weight_lambda", "1.5"], ["weight_lambda: 1.5 is out of range"]),
    (["model.name", "clip_rn5"], ["model.name: 'clip_rn5'", "Did you mean 'clip_rn50'?"]),
    (["data.transforms", "random_filp"], ["data.transforms: 'random_filp'", "Did you mean 'random_flip'?"]),
    (["data.sources", "market"], ["data.sources: 'market'", "market1501"]),
    (["sampler.train_sampler", "ProxySample"], ["Did you mean 'ProxySampler'?"]),
    (["train.optim", "adamm"], ["Did you mean 'adam'?"]),
    (["train.lr_scheduler", "warmup"], ["train.lr_scheduler", "warmup_multi_step"]),
    (["loss.name", "cafl"], ["Did you mean 'ccafl'?"]),
    (["data.type", "video"], ["data.type: 'video'", "image"]),
    (["ccafl.association.name", "nearest"], ["nearest_pairs"]),
    (["model.load_weights", "nowhere.pth"], ["model.load_weights: there is no file 'nowhere.pth'"]),
    (["model.resume", "nowhere"], ["model.resume: there is no file or folder 'nowhere'"]),
    (["ccafl.clip_weights", "nowhere.pt"], ["ccafl.clip_weights: there is no file"]),
    (["test.visrank", "True"], ["test.visrank", "test.evaluate True"]),
    (
        ["test.camera_normalization", "std"],
        ["test.camera_normalization: 'std'", "Choose one of: erase, mean, mean_std, none"],
    ),
    (["ccafl.association.nearest_pairs.camera_normalization", "std"], ["nearest_pairs.camera_normalization: 'std'"]),
    (
        ["test.camera_statistics", "galery"],
        ["test.camera_statistics: no file at 'galery'; set it to gallery, training"],
    ),
    (
        ["data.targets", "grid", "test.camera_normalization", "mean", "test.camera_statistics", "training"],
        ["test.camera_statistics: the cameras of grid took no training image of market1501; set it to gallery"],
    ),
    (["test.camera_rerank", "True"], ["test.camera_rerank: it is a form of re-ranking; set test.rerank True"]),
    (["data.sources", "[]"], ["data.sources: there is no dataset"]),
    (["data.targets", "[]"], ["data.targets: there is no dataset"]),
    (["data.load_train_targets", "True"], ["data.load_train_targets", "a dataset is both a source and a target"]),
    (["train.lr_scheduler", "single_step", "train.stepsize", "[]"], ["train.stepsize: single_step needs"]),
    (["loss.name", "softmax", "model.resume", "."], ["model.resume: '.' is a folder, but with loss.name softmax"]),
]


@pytest.mark.parametrize(("pairs", "fragments"), MISTAKES, ids=lambda value: str(value[0]))
def test_mistakes_are_one_line(pairs: list[str], fragments: list[str]) -> None:
    with pytest.raises(CCAFLError) as caught:
        load_config(None, pairs)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


CCAFL = ["loss.name", "ccafl", "model.name", "clip_tiny"]


@pytest.mark.parametrize(
    ("pairs", "fragment"),
    [
        (["sampler.num_instances", "33"], "more than the 32 memory slots of ccafl.terms.icdl.instances"),
        (["ccafl.stage1.scope", "person"], "Set ccafl.supervision full"),
        (["sampler.train_sampler", "IdentitySampler"], "'IdentitySampler' reads identities across cameras. Set ccafl"),
        (["sampler.train_sampler", "RandomIdentitySampler"], "or sampler.train_sampler ProxySampler"),
        (
            ["model.name", "osnet_x1_0"],
            "'osnet_x1_0' has no text encoder. Choose one of clip_rn50, clip_vit_b16, clip_tiny, or set "
            "ccafl.terms.alignment.enabled False ccafl.terms.icdl.weight_alignment 0.",
        ),
        (
            ["model.name", "osnet_x1_0", "ccafl.terms.alignment.enabled", "False"],
            "clip_tiny, or set ccafl.terms.icdl.weight_alignment 0.",
        ),
        (["ccafl.terms.ical.last_epoch", "3"], "3 is before first_epoch 40"),
        (["data.k_tfm", "2"], "data.k_tfm: ImageCCAFLEngine (loss.name ccafl) uses one view of each image"),
        (["ccafl.terms.proxy_classifier.first_epoch", "41"], "41 is later than the first epoch of 'ical' (40), but"),
        (
            [
                *["ccafl.terms.proxy_classifier.enabled", "False", "ccafl.terms.ical.enabled", "False"],
                *["ccafl.terms.inter.first_epoch", "8", "ccafl.terms.icdl.last_epoch", "5", "train.max_epoch", "9"],
                *["ccafl.terms.alignment.first_epoch", "7"],
            ],
            "No term is active in epoch 6 of 9",
        ),
        (["ccafl.prompt_length", "70"], "70 is too long"),
        (["ccafl.terms.proxy_classifier.enabled", "False"], "'ical' needs the term 'proxy_classifier'"),
        ([item for name in TERMS for item in (f"ccafl.terms.{name}.enabled", "False")], "no term is enabled"),
    ],
)
def test_settings_that_exclude_each_other(pairs: list[str], fragment: str) -> None:
    with pytest.raises(CCAFLError, match=r"^[^\n]*$") as caught:
        load_config(None, [*CCAFL, *pairs])
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("- a list\n", "expected 'key: value' lines"),
        ("train: [1, 2\n", "not a YAML file"),
        ("base: loop.yaml\n", "form a circle"),
        ("base: missing.yaml\n", "could not read"),
        ("train: {lrr: 1}\n", "Did you mean 'train.lr'?"),
    ],
)
def test_broken_files(tmp_path: Path, content: str, fragment: str) -> None:
    file = tmp_path / "loop.yaml"
    file.write_text(content)
    with pytest.raises(CCAFLError, match=r"^[^\n]*$") as caught:
        load_config(file)
    assert fragment in str(caught.value)


def test_torchreids_own_defaults() -> None:
    """torchreid's tree of keys is not installed with it; these are the values of its scripts/default_config.py."""
    config = default_config()
    del config["ccafl"]
    for name in [name for name in config.test if name.startswith("camera_")]:  # the plugin's own
        del config.test[name]
    assert config.dump() == Path(__file__).with_name("torchreid_defaults.yaml").read_text()


def test_files_need_not_exist_to_show_results(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    keys = ["model.load_weights", "ccafl.clip_weights", "ccafl.branch_from", "test.camera_statistics"]
    pairs = [word for key in keys for word in (key, gone)]
    config = load_config(None, [*CCAFL, *pairs], check_files=False)
    assert config.test.camera_statistics == config.model.load_weights == gone


def test_files_of_camera_statistics(tmp_path: Path) -> None:
    file = str(tmp_path / "cameras.safetensors")
    pairs = ["test.camera_normalization", "mean", "test.camera_statistics", file]
    Path(file).write_text("no tensors")
    with pytest.raises(CCAFLError, match=r"^test.camera_statistics: '.*' can't be read as a safetensors file"):
        load_config(None, pairs)
    CameraStatistics.of(torch.eye(3), [0, 1, 1], dataset="market1501").save(file)
    with pytest.raises(CCAFLError, match=r"^test.camera_statistics: a file's .* set test.evaluate True, or it to"):
        load_config(None, pairs)
    config = load_config(None, [*pairs, "test.evaluate", "True"])
    assert option_values(config)["camera_statistics"] == file
    assert option_values(config)["camera_normalization"] == "mean"
    with pytest.raises(CCAFLError, match=r"^test.camera_statistics: '.*': of the cameras of market1501, but .* grid"):
        load_config(None, [*pairs, "test.evaluate", "True", "data.targets", "grid"])


def test_statistics_of_training_images_of_the_same_cameras() -> None:
    """msmt17_trainval is read from msmt17's folder."""
    more = ["test.camera_normalization", "mean_std", "test.camera_statistics", "training", "data.targets", "msmt17"]
    assert load_config(None, [*more, "data.sources", "['market1501', 'msmt17_trainval']"]).test.camera_statistics
    with pytest.raises(CCAFLError, match="the cameras of msmt17 took no training image of market1501"):
        load_config(None, more)
