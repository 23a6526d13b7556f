"""Which configurations are published settings, and what a run changes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.config.tree import default_config
from ccafl_plugin.runs.published_settings import LEFT_OPEN, compare_with_published
from ccafl_plugin.runs.results import leaves, settings_of
from ccafl_plugin.utils.errors import CCAFLError

MARKET = configs_folder() / "market1501" / "ccafl_rn50.yaml"
PAPER = "Tan, Gong, Xiang, TCSVT 2025"


def test_the_papers_configurations_claim_to_be_published_and_what_is_based_on_them_is_not() -> None:
    files = [path for path in configs_folder().rglob("*.yaml") if path.parent.name not in ("base", "suites")]
    claiming = {}
    for file in files:
        found = compare_with_published(load_config(file))
        if found is not None:
            claiming[str(file.relative_to(configs_folder()))] = found
    assert set(claiming) == {
        f"{dataset}/ccafl_{model}.yaml"
        for dataset in ("market1501", "dukemtmcreid", "msmt17")
        for model in ("rn50", "vit_b16")
    }
    assert all((found.differences, found.precision) == ([], "mixed float16") for found in claiming.values())
    assert {found.source.partition(";")[0] for found in claiming.values()} == {PAPER}


def test_changed_settings_are_differences() -> None:
    pairs = ["train.lr", "0.001", "ccafl.clip_weights", "", "model.load_weights", str(MARKET), "train.seed", "7"]
    found = compare_with_published(load_config(MARKET, [*pairs, "data.save_dir", "x", "train.stepsize", "[30]"]))
    assert found.differences == [
        f"model.load_weights {MARKET} instead of nothing",
        "train.lr 0.001 instead of 0.00035",
        "train.stepsize [30] instead of [40, 50]",
    ]


def test_what_published_settings_leave_open() -> None:
    settings = dict(leaves(default_config()))
    assert set(LEFT_OPEN) <= set(settings)
    assert {"train.batch_size", "sampler.num_instances", "data.sources", "ccafl.supervision"}.isdisjoint(LEFT_OPEN)
    pairs = ["use_gpu", "False", "ccafl.amp", "False", "test.ranks", "[1]", "data.workers", "0"]
    assert compare_with_published(load_config(MARKET, pairs)).differences == []


def test_the_claim_stays_with_the_settings(tmp_path: Path) -> None:
    """Settings that are written to a file and loaded again, as suites do, still know what they claim."""
    config = load_config(MARKET, ["train.lr", "0.001"])
    assert settings_of(config)["ccafl.published_settings"] == "market1501/ccafl_rn50.yaml"
    (tmp_path / "whole.yaml").write_text(config.dump())
    again = compare_with_published(load_config(tmp_path / "whole.yaml"))
    assert again == (PAPER, "mixed float16", ["train.lr 0.001 instead of 0.00035"])


def test_published_settings_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, based = tmp_path / "own.yaml", tmp_path / "based.yaml"
    own.write_text("published: somebody\ntrain: {lr: 0.5}\nccafl: {amp: False}\n")
    based.write_text("base: own.yaml\ntrain: {max_epoch: 3}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config("own.yaml", ["train.lr", "0.25"])
    monkeypatch.chdir("/")
    assert compare_with_published(config) == ("somebody", "float32", ["train.lr 0.25 instead of 0.5"])
    assert compare_with_published(load_config(based)) is None
    bf16 = tmp_path / "bf16.yaml"
    bf16.write_text("published: somebody\nccafl: {precision: bf16}\n")
    assert compare_with_published(load_config(bf16, ["ccafl.precision", "fp32"])) == ("somebody", "mixed bfloat16", [])
    named = load_config(based, ["ccafl.published_settings", str(own)])
    assert compare_with_published(named).differences == ["train.max_epoch 3 instead of 60"]
    assert compare_with_published(load_config(based, ["ccafl.published_settings", str(based)])).source == str(based)


def test_published_settings_that_are_not_there() -> None:
    with pytest.raises(
        CCAFLError,
        match=r"^ccafl\.published_settings: there is no configuration 'nowhere\.yaml' in .* or in .*configs\.$",
    ):
        load_config(None, ["ccafl.published_settings", "nowhere.yaml"])
