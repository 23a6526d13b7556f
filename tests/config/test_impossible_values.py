"""Values that no run can have, and files that are no settings: each is one line, before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccafl_plugin.config import load_config
from ccafl_plugin.data.sampler_checks import check_torchreids_sampler
from ccafl_plugin.suites.suite_file import load_suite
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.yaml_text import DEEPEST, read_yaml

NAN = ".nan"
VALUES = {
    "train.seed": ["-1", "1" + "0" * 20, "4294967296"],
    "adam.beta1": ["2", "1", "-0.1", NAN],
    "adam.beta2": ["2", NAN],
    "rmsprop.alpha": ["-1", "1", NAN],
    "sgd.momentum": ["-1", NAN],
    "sgd.dampening": ["-1", NAN],
    "train.gamma": ["-1", "0", NAN, ".inf"],
    "train.stepsize": ["[-5]", "[0]", "[20, -1]"],
    "train.base_lr_mult": ["-1", NAN],
    "train.fixbase_epoch": ["-1"],
    "train.lr": ["0", NAN, ".inf"],
    "train.weight_decay": ["-1", NAN],
    "data.height": ["0", "1000000000", "-4"],
    "data.width": ["1" + "0" * 20],
    "data.workers": ["-1", "100000"],
    "data.split_id": ["-1"],
    "data.norm_mean": ["[]", "[0.5]", "[0.5, 0.5, 0.5, 0.5]", f"[0.5, 0.5, {NAN}]"],
    "data.norm_std": ["[]", "[1, 1]", "[0, 1, 1]", "[-1, 1, 1]", f"[1, 1, {NAN}]"],
    "ccafl.crop_padding": ["1000000000", "-1"],
    "sampler.num_cams": ["-1"],
    "sampler.num_datasets": ["-1"],
    "test.visrank_topk": ["0", "-3", "100000"],
    "test.eval_freq": ["-2"],
    "test.start_eval": ["-1"],
    "loss.triplet.margin": [NAN, ".inf"],
    "loss.triplet.weight_t": ["-1", NAN],
    "loss.triplet.weight_x": ["-1", NAN],
    "ccafl.terms.icdl.weight": [NAN, ".inf"],
    "ccafl.terms.icdl.margin": [NAN],
    "ccafl.terms.icdl.weight_centroid": [NAN],
    "ccafl.terms.icdl.weight_alignment": [NAN],
    "ccafl.terms.ical.scale": ["0", "-1", NAN],
    "ccafl.terms.ical.margin": [NAN],
    "ccafl.terms.ical.hardness": [NAN],
    "ccafl.terms.inter.weight_triplet": [".inf"],
    "ccafl.synthetic.seed": ["-1"],
    "data.save_dir": ['"a\\0b"'],
    "data.root": ['"\\0"'],
    "model.load_weights": ['"a\\0b"'],
    "model.resume": ['"a\\0b"'],
    "ccafl.clip_weights": ['"a\\0b"'],
    "ccafl.clip_activation": ["relu"],
}
CASES = [(key, value) for key, values in VALUES.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES, ids=lambda value: repr(value)[:40])
def test_an_impossible_value_is_one_line_that_names_its_key(key: str, value: str) -> None:
    with pytest.raises(CCAFLError) as error:
        load_config(None, [key, value])
    assert re.match(rf"{re.escape(key)}: [^\n]+$", str(error.value)), str(error.value)


@pytest.mark.parametrize("settings", [{"sgd.momentum": "0"}, {"sgd.dampening": "0.5"}])
def test_nesterovs_momentum_needs_momentum(settings: dict[str, str]) -> None:
    pairs = [word for pair in settings.items() for word in pair]
    with pytest.raises(CCAFLError, match=r"^sgd\.nesterov: True needs sgd\.momentum above 0 and sgd\.dampening 0"):
        load_config(None, ["train.optim", "sgd", "sgd.nesterov", "True", *pairs])
    load_config(None, ["train.optim", "adam", "sgd.nesterov", "True", *pairs])


TEXTS = {
    "deep lists": ("train: " + "[" * 50_000, "nested too deeply|not a YAML file"),
    "a little too deep": ("a: " + "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested too deeply"),
    "deep mappings": ("".join(" " * depth + "a:\n" for depth in range(400)), "nested too deeply"),
    "a list in itself": ("a: &a [*a]", "refers to itself or is nested too deeply"),
    "a mapping in itself": ("train: &t\n  lr: *t", "refers to itself or is nested too deeply"),
    "doubling aliases": (
        "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 25)),
        "holds more than 20000 values",
    ),
    "a date": ("train: {lr: 2020-01-02}", r"train\.lr: a date \('2020-01-02'\) is no setting; quote it"),
    "an impossible date": ("train: {lr: 2020-99-99}", "not a YAML file: month must be"),
    "a time": ("train: {lr: 2020-01-02 03:04:05}", r"train\.lr: a datetime"),
    "a set": ("train: {lr: !!set {a, b}}", r"train\.lr: a set"),
    "bytes": ("train: {lr: !!binary aGVsbG8=}", r"train\.lr: a bytes"),
    "a Python object": ("train: !!python/object/apply:os.system ['touch x']", "not a YAML file"),
    "a date for a key": ("2020-01-02: 1", "the key .* is no word"),
    "a list for a key": ("? [1, 2]\n: 3", "not a YAML file|is no word"),
    "a tab": ("train:\n\tlr: 1", "not a YAML file"),
    "half a list": ("train: [1, 2", "not a YAML file"),
    "zero bytes": ("a: \0", "not a YAML file"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_settings_is_one_line(name: str, tmp_path: Path) -> None:
    text, expected = TEXTS[name]
    file = tmp_path / "a.yaml"
    file.write_text(text)
    for load in (lambda: load_config(file), lambda: load_suite(file)):
        with pytest.raises(CCAFLError, match=rf"^{re.escape(str(file))}: ") as error:
            load()
        message = str(error.value)
        assert re.search(expected, message), message
        assert "\n" not in message and len(message) < 600
    assert not (Path.cwd() / "x").exists()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x80")
    for load in (load_config, load_suite):
        with pytest.raises(CCAFLError, match=r"a\.yaml: not a YAML file: [^\n]+$"):
            load(tmp_path / "a.yaml")


@pytest.mark.parametrize("text", ["[" * 50_000, "2020-99-99", "2020-01-01", "!!binary aGVsbG8="])
def test_values_on_the_command_line_are_words_then(text: str) -> None:
    with pytest.raises(CCAFLError, match=r"^train\.lr: expected a number \(default 0\.0003\), found "):
        load_config(None, ["train.lr", text])


def test_what_is_usual_is_read() -> None:
    assert read_yaml("a: {b: [1, 2.5, true, null, x]}\n1: 2", "file") == {"a": {"b": [1, 2.5, True, None, "x"]}, 1: 2}
    assert read_yaml("a: &a [1]\nb: *a", "file") == {"a": [1], "b": [1]}


ENTRIES = [(f"{n}.jpg", n % 4, n % 3, 0) for n in range(24)]


@pytest.mark.parametrize(
    ("sampler", "settings", "expected"),
    [
        ("RandomDomainSampler", {"num_cams": 5}, "num_cams: 5 cameras in a batch are more than the 3"),
        (
            "RandomDomainSampler",
            {"num_cams": 0, "batch_size": 8},
            "batch_size: 8 images can't be shared out to 3 cameras",
        ),
        ("RandomDomainSampler", {"num_cams": 1, "batch_size": 9}, "batch_size: 9 images of each of 1 cameras are more"),
        ("RandomDatasetSampler", {"num_datasets": 2}, "num_datasets: 2 datasets in a batch are more than the 1"),
        ("RandomIdentitySampler", {"batch_size": 2}, "batch_size: a batch of 2 images, 4 of a person, holds 0 people"),
        ("RandomIdentitySampler", {"batch_size": 32}, "holds 8 people; the training set has 4"),
    ],
)
def test_batches_that_torchreids_samplers_cannot_fill(sampler: str, settings: dict[str, int], expected: str) -> None:
    with pytest.raises(CCAFLError, match=re.escape(expected)):
        check_torchreids_sampler(ENTRIES, sampler, **{"batch_size": 6, "num_instances": 4, **settings})


def test_batches_that_they_can_fill() -> None:
    check_torchreids_sampler(ENTRIES, "RandomDomainSampler", batch_size=6, num_cams=3)
    check_torchreids_sampler(ENTRIES, "RandomDomainSampler", batch_size=6, num_cams=0)
    check_torchreids_sampler(ENTRIES, "RandomIdentitySampler", batch_size=8, num_instances=4)
    check_torchreids_sampler(ENTRIES, "RandomSampler", batch_size=1000)
