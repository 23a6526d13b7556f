"""Wrong settings: every key with values of another type and out of its range, names, files, and what does not go
together; each is one line with the key's name, before data or model are loaded unless it can only be seen there."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.config import default_config
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.utils.ranges import RANGES
from ccafl_plugin.utils.trees import leaves
from tests.mistakes.conftest import Refused

DEFAULTS = dict(leaves(default_config()))
FREE = ("data.root", "data.save_dir")
"""Keys that the fixture sets in another way; wrong values of theirs have cases of their own."""


def of_another_type(default: Any) -> list[str]:
    """Values that a key with this default cannot have."""
    if isinstance(default, bool):
        return ["maybe", "2", "[True]"]
    if isinstance(default, int):
        return ["many", "1.5", "[1, 2]"]
    if isinstance(default, float):
        return ["many", "[0.5, 1]", "{a: 1}"]
    if isinstance(default, str):
        return ["[a, b]", "{a: b}"]
    if default and isinstance(default[0], str):
        return ["{a: b}", "[[a]]", "True"]
    return ["[a, b]", "{a: 1}"]


def out_of_range(key: str, default: Any) -> list[str]:
    """Numbers outside a key's range, not finite ones among them."""
    allowed = RANGES.get(key.rpartition(".")[2])
    if allowed is None or isinstance(default, (bool, str)):
        return []
    below = allowed.smallest - (0 if allowed.above else 1)
    above = allowed.largest + (0 if allowed.below else 1)
    numbers = [number for number in (below, above) if math.isfinite(number)]
    words = [f"{int(number)}" if isinstance(default, int) else f"{number}" for number in numbers]
    if isinstance(default, float):
        words += [".nan", ".inf"]
    if isinstance(default, (list, tuple)):
        words = [f"[{word}]" for word in words]
        words += ["[.nan]"] if not default or isinstance(default[0], float) else []
    return words


WRONG_VALUES = {
    key: [*of_another_type(value), *out_of_range(key, value)] for key, value in DEFAULTS.items() if key not in FREE
}


@pytest.mark.parametrize("key", WRONG_VALUES)
def test_a_key_with_wrong_values(key: str, refused: Refused, count: Counter[str]) -> None:
    for value in WRONG_VALUES[key]:
        assert refused(f"error: {key}", key, value).startswith(f"error: {key}")
        count["settings of another type or out of range"] += 1


def test_misspelt_keys_and_branches(refused: Refused, count: Counter[str]) -> None:
    for key in list(DEFAULTS)[::5]:
        wrong = key[:-1]
        if wrong not in DEFAULTS:
            refused(f"config key: '{wrong}' is not available. Did you mean ", wrong, "1")
            count["misspelt keys"] += 1
    for branch in ("train", "ccafl", "ccafl.terms", "ccafl.terms.icdl", "data", "video"):
        refused(f"error: {branch}: expected keys below it", branch, "1")
        count["misspelt keys"] += 1


NAMES = {
    "model.name": ["clip_r50", "resnet-50", ""],
    "data.type": ["video"],
    "data.sources": ["[market1502]", "[market1501, mars]", "[]", "Market1501"],
    "data.targets": ["[market-1501]", "[]"],
    "data.transforms": ["[random_flp]", "[random_flip, none]"],
    "sampler.train_sampler": ["RandomIdentity", ""],
    "sampler.train_sampler_t": ["proxysampler"],
    "train.optim": ["adamw", "SGD"],
    "train.lr_scheduler": ["multistep", "warmup"],
    "loss.name": ["cross_entropy", "tripletloss"],
    "test.dist_metric": ["cosin", "l2"],
    "test.camera_normalization": ["means"],
    "ccafl.supervision": ["intra"],
    "ccafl.data.ids": ["percamera"],
    "ccafl.association.name": ["nearest"],
    "ccafl.association.nearest_pairs.camera_normalization": ["mean-std"],
    "ccafl.stage1.scope": ["global"],
    "ccafl.terms.icdl.reduction": ["mean"],
    "ccafl.synthetic.size": ["huge"],
    "ccafl.precision": ["fp8", "float16"],
    "ccafl.extraction_precision": ["half"],
    "ccafl.matmul_precision": ["low"],
    "ccafl.clip_activation": ["relu"],
}


@pytest.mark.parametrize("key", NAMES)
def test_unknown_names(key: str, refused: Refused, count: Counter[str]) -> None:
    for value in NAMES[key]:
        line = refused(f"error: {key}: ", key, value)
        assert "Choose one of: " in line or "there is no dataset" in line, line
        count["unknown names"] += 1


FILES = {
    "model.load_weights": ["no/such/file", "/", ".", '"a\\0b"'],
    "model.resume": ["no/such/folder", '"a\\0b"'],
    "ccafl.clip_weights": ["no/such/file", "/"],
    "ccafl.branch_from": ["no/such/folder"],
    "ccafl.published_settings": ["configs/none.yaml"],
    "test.camera_statistics": ["no/such/file", "/"],
    "ccafl.data.pairs": ["no/such/file.csv", "/"],
}


@pytest.mark.parametrize("key", FILES)
def test_files_that_are_not_there(key: str, refused: Refused, count: Counter[str]) -> None:
    for value in FILES[key]:
        refused(f"error: {key}", key, value)
        count["files and folders that are not there"] += 1


def test_folders_of_runs_and_data(refused: Refused, tmp_path: Path, count: Counter[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for value in (str(tmp_path / "file"), str(tmp_path / "file" / "log"), "/proc/none/log", '"\\0"'):
        refused("error: data.save_dir", "data.save_dir", value)
        count["files and folders that are not there"] += 1
    for value in (str(tmp_path / "file"), str(tmp_path / "nowhere"), str(tmp_path), '"\\0"'):
        line = refused("error: data.root", "data.root", value, first=("-s", "market1501"), root=None)
        assert "market1501" in line or "zero byte" in line
        count["files and folders that are not there"] += 1


TOGETHER: dict[str, tuple[str, ...]] = {
    "train.batch_size: 9 is not a multiple of sampler.num_instances": ("train.batch_size", "9"),
    "data.k_tfm: ": ("data.k_tfm", "2"),
    "data.k_tfm: torchreid's engine of loss.name softmax": ("data.k_tfm", "2", "loss.name", "softmax"),
    "data.k_tfm: torchreid's engine of loss.name triplet": ("data.k_tfm", "3", "loss.name", "triplet"),
    "data.load_train_targets: ": ("data.load_train_targets", "True"),
    "data.norm_mean: it needs three numbers": ("data.norm_mean", "0.5"),
    "data.norm_std: it needs three numbers": ("data.norm_std", "[1.0, 1.0]"),
    "sgd.nesterov: ": ("train.optim", "sgd", "sgd.nesterov", "True", "sgd.momentum", "0"),
    "sgd.nesterov: True needs": ("train.optim", "sgd", "sgd.nesterov", "True", "sgd.dampening", "0.1"),
    "train.stepsize: single_step": ("train.stepsize", "[]"),
    "test.visrank: ": ("test.visrank", "True"),
    "test.camera_rerank: ": ("test.camera_rerank", "True"),
    "ccafl.branch_from: a run with model.resume": ("ccafl.branch_from", ".", "model.resume", "."),
    "ccafl.branch_from: only runs with loss.name ccafl": ("ccafl.branch_from", ".", "loss.name", "softmax"),
    "model.resume: '.' is a folder": ("model.resume", ".", "loss.name", "softmax"),
    "ccafl.compile: 'resnet18' has no CLIP": ("ccafl.compile", "True", "model.name", "resnet18"),
    "ccafl.gradient_checkpointing: ": ("ccafl.gradient_checkpointing", "True", "model.name", "osnet_x0_25"),
    "ccafl.accumulation: only runs": ("ccafl.accumulation", "2", "loss.name", "softmax"),
    "ccafl.robust_labels: torchreid's engine of loss.name softmax": (
        *("ccafl.robust_labels", "True", "loss.name", "softmax"),
    ),
    "accumulation": ("ccafl.accumulation", "3"),
    "loss.triplet.weight_t": ("loss.name", "triplet", "loss.triplet.weight_t", "0", "loss.triplet.weight_x", "0"),
    "train.batch_size: 4 with sampler.num_instances 4 holds one person": (
        *("loss.name", "triplet", "sampler.train_sampler", "RandomIdentitySampler"),
        *("train.batch_size", "4", "sampler.num_instances", "4"),
    ),
    "ccafl.supervision: ": ("ccafl.supervision", "full", "ccafl.data.ids", "per_camera"),
    "sampler.train_sampler: 'RandomIdentitySampler' reads identities": (
        *("sampler.train_sampler", "RandomIdentitySampler"),
    ),
    "sampler.num_instances: 8 images per proxy": ("sampler.num_instances", "8", "ccafl.terms.icdl.instances", "4"),
    "ccafl.terms.icdl.last_epoch: 1 is before": (
        *("ccafl.terms.icdl.first_epoch", "2", "ccafl.terms.icdl.last_epoch", "1", "train.max_epoch", "3"),
    ),
    "model.name: 'resnet18' has no text encoder": ("model.name", "resnet18"),
    "ccafl.data.test_share: held-out people": ("ccafl.data.test_share", "0.5", "ccafl.data.ids", "per_camera"),
    "test.camera_statistics: the cameras of dukemtmcreid": (
        *("data.targets", "dukemtmcreid", "test.camera_statistics", "training", "test.camera_normalization", "mean"),
    ),
    "ccafl.prompt_length": ("ccafl.prompt_length", "100"),
    "ccafl.synthetic.cameras": ("ccafl.synthetic.cameras", "3"),
    "enabled": tuple(
        word
        for name in ("icdl", "inter", "alignment", "ical", "proxy_classifier")
        for word in (f"ccafl.terms.{name}.enabled", "False")
    ),
    "proxy_classifier": ("ccafl.terms.proxy_classifier.enabled", "False"),
}


@pytest.mark.parametrize("expected", TOGETHER)
def test_settings_that_do_not_go_together(expected: str, refused: Refused, count: Counter[str]) -> None:
    refused(expected, *TOGETHER[expected])
    count["settings that do not go together"] += 1


WORDS: dict[str, tuple[str, ...]] = {
    "-t: 'train.lr' looks like a key, but -t takes": ("-s", "market1501", "-t", "market1501", "train.lr", "1"),
    "Put -- before the first key: -s market1501 -- KEY VALUE.": ("-s", "market1501", "use_gpu", "False"),
    "--transforms: 'train.lr=1' looks like a key": ("--transforms", "random_flip", "train.lr=1"),
    "--root: options come before the KEY VALUE pairs": ("train.lr", "1", "--root", "x"),
    "-s: options come before": ("train.lr", "1", "-s", "market1501"),
    "--debug: options come before": ("train.lr", "1", "--debug"),
    "train.lr=1: a key and its value are two words. Write train.lr 1": ("train.lr=1",),
    "train.lr=: a key and its value are two words": ("train.lr=", "1"),
    "'train.lr' has no value": ("train.lr",),
    "'use_gpu' has no value": ("train.lr", "1", "use_gpu"),
    "config key: '1'": ("1", "train.lr"),
    "config key: ''": ("", "1"),
    "config key: '.'": (".", "1"),
    "config key: 'train.lr.x'": ("train.lr.x", "1"),
    "--config-file: could not read": ("--config-file", "no/such.yaml"),
    "--config-file: could not read '/'": ("--config-file", "/"),
    "configs/market1501/ccafl_rn5.yaml": ("--config-file", "configs/market1501/ccafl_rn5.yaml"),
}


@pytest.mark.parametrize("expected", WORDS)
def test_shapes_of_the_command_line(expected: str, capsys: pytest.CaptureFixture[str], count: Counter[str]) -> None:
    assert main(list(WORDS[expected])) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert expected in printed.err, printed.err
    count["shapes of the command line"] += 1


TEXTS: dict[str, tuple[str, str]] = {
    "no mapping": ("- 1\n- 2\n", "expected 'key: value' lines"),
    "a word": ("hello\n", "expected 'key: value' lines"),
    "half a list": ("train: {lr: [1\n", "not a YAML file"),
    "a tab": ("train:\n\tlr: 1\n", "not a YAML file"),
    "an unknown key": ("train: {lrr: 1}\n", "train.lrr"),
    "a branch too deep": ("train: {lr: {a: 1}}\n", "train.lr"),
    "a value for a branch": ("train: 5\n", "train: expected keys below it"),
    "another type": ("use_gpu: sometimes\n", "use_gpu: expected True or False"),
    "a base that is not there": ("base: nothing.yaml\n", "nothing.yaml"),
    "itself as its base": ("base: wrong.yaml\n", "form a circle"),
    "out of range": ("train: {lr: -1}\n", "train.lr: "),
    "a date": ("train: {lr: 2020-01-02}\n", "a date"),
    "deep lists": ("a: " + "[" * 5000, "nested too deeply"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_files_of_settings(name: str, tmp_path: Path, refused: Refused, count: Counter[str]) -> None:
    text, expected = TEXTS[name]
    file = tmp_path / "wrong.yaml"
    file.write_text(text, encoding="utf-8")
    refused(expected, first=("--config-file", str(file)))
    count["files of settings"] += 1


SEEN_WITH_DATA: dict[str, tuple[str, ...]] = {
    "train.batch_size: 64 with sampler.num_instances 2 needs": ("train.batch_size", "64"),
    "train.batch_size: 64 images of a batch": (
        *("train.batch_size", "64", "loss.name", "softmax", "sampler.train_sampler", "RandomSampler"),
    ),
    "train.batch_size: 99 images of a batch": (
        *("train.batch_size", "99", "loss.name", "triplet", "sampler.train_sampler", "SequentialSampler"),
    ),
    "sampler.num_cams: 5 cameras": ("sampler.num_cams", "5", "sampler.train_sampler", "RandomDomainSampler"),
    "train.batch_size: 9 images": (
        *("sampler.num_cams", "2", "sampler.train_sampler", "RandomDomainSampler", "train.batch_size", "9"),
    ),
    "sampler.num_datasets: 3 datasets": (
        *("sampler.num_datasets", "3", "sampler.train_sampler", "RandomDatasetSampler"),
    ),
    "train.batch_size: a batch of 40 images": (
        *("loss.name", "softmax", "sampler.train_sampler", "RandomIdentitySampler", "train.batch_size", "40"),
    ),
    "transforms: pad_crop and random_crop": ("data.transforms", "[pad_crop, random_crop]"),
    "market1501.use_500k_distractors: ": ("market1501.use_500k_distractors", "True"),
    "train.new_layers: 'classifir'": ("train.staged_lr", "True", "train.new_layers", "[classifir]"),
    "train.new_layers: 'classifier'": ("train.staged_lr", "True"),
    "train.new_layers: 'fc9'": (
        *("train.staged_lr", "True", "train.new_layers", "[classifier, fc9]", "loss.name", "softmax"),
    ),
    "train.open_layers: 'nek'": ("train.fixbase_epoch", "1", "train.open_layers", "[nek]"),
    "model.pretrained: torchreid has no ImageNet weights of shufflenet_v2_x1_5": (
        *("model.name", "shufflenet_v2_x1_5", "loss.name", "softmax", "model.pretrained", "True"),
    ),
    "data.height, data.width: hacnn": ("model.name", "hacnn", "loss.name", "softmax"),
}


@pytest.mark.parametrize("expected", SEEN_WITH_DATA)
def test_settings_that_only_show_with_the_data(expected: str, refused: Refused, count: Counter[str]) -> None:
    refused(expected, *SEEN_WITH_DATA[expected])
    count["settings that only show with the data or the model"] += 1


def test_there_are_enough() -> None:
    """At least 300 in this file."""
    tables = (NAMES, FILES)
    listed = sum(len(values) for table in (WRONG_VALUES, *tables) for values in table.values())
    assert listed + len(TOGETHER) + len(WORDS) + len(TEXTS) + len(SEEN_WITH_DATA) >= 300
