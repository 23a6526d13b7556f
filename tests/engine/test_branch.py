"""Branching: a run that goes on from another run's checkpoint ends as if it had been trained alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import EVERY_TERM, Recorder, assert_equal, make_engine, make_terms, weights

EPOCHS = 4
SHARED = {"proxy_classifier": (0, -1), "icdl": (0, 1), "inter": (1, -1)}


@pytest.fixture(scope="module")
def trunk(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of everything that starts before epoch 2; stage 1, too."""
    folder = tmp_path_factory.mktemp("trunk")
    terms = make_terms({name: window for name, window in EVERY_TERM.items() if name != "ical"})
    make_engine(pictures, terms=terms, keep=3).run(save_dir=str(folder), max_epoch=2)
    return folder


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_branch_equals_the_unbroken_run(pictures: Path, trunk: Path, tmp_path: Path, epoch: int) -> None:
    whole = make_engine(pictures)
    whole_record = Recorder(whole)
    whole.run(save_dir=str(tmp_path / "whole"), max_epoch=EPOCHS)
    torch.manual_seed(99)  # whatever was drawn before must not matter
    branch = make_engine(pictures)
    record = Recorder(branch)
    start = branch.branch(str(trunk / f"checkpoint-{epoch}.json"))
    assert start == epoch
    branch.run(save_dir=str(tmp_path / "branch"), max_epoch=EPOCHS, start_epoch=start)
    assert record.reports == whole_record.reports[2 * epoch :]
    assert_equal(weights(branch), weights(whole))
    assert branch.history.association == whole.history.association
    assert [entry["epoch"] for entry in whole.history.association] == [1, 2, 3]
    assert branch.results == whole.results


def test_parts_that_one_side_lacks(pictures: Path, trunk: Path, tmp_path: Path) -> None:
    no_text = {"icdl": {"weight_alignment": 0.0}}
    fewer = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}, **no_text))
    assert fewer.branch(str(trunk)) == 2
    fewer.run(save_dir=str(tmp_path), max_epoch=3, start_epoch=2)
    text = make_engine(pictures)
    start = text.branch(str(tmp_path))
    with pytest.raises(CCAFLError, match=r"^The checkpoint of epoch 3 has no prompts trained in stage 1, but 'icdl'"):
        text.run(save_dir=str(tmp_path / "text"), max_epoch=4, start_epoch=start)
    more = make_engine(pictures, terms=make_terms(SHARED, **no_text))
    fresh = weights(more)
    assert more.branch(str(tmp_path)) == 3
    taken = weights(more)
    changed = {name.partition(".")[0] for name in fresh if not torch.equal(fresh[name], taken[name])}
    assert changed == {"model"}


def test_an_optimizer_that_has_not_stepped_keeps_the_branchs_settings(pictures: Path, trunk: Path) -> None:
    own = {"proxy_classifier": {"lr": 0.125, "weight_decay": 0.25}}
    branch = make_engine(pictures, terms=make_terms(EVERY_TERM, **own))
    assert branch.branch(str(trunk / "checkpoint-0.json")) == 0
    (group,) = branch._optims["proxy_classifier"].param_groups
    assert (group["lr"], group["weight_decay"]) == (0.125, 0.25)
    with pytest.raises(CCAFLError, match=r"'proxy_classifier' of [^\n]* trained with lr [^\n]* instead of 0\.125"):
        make_engine(pictures, terms=make_terms(EVERY_TERM, **own)).branch(str(trunk))


def test_stage_1_does_not_come_late(pictures: Path, tmp_path: Path) -> None:
    late = {"icdl": (0, -1), "alignment": (2, -1)}
    no_text = {"icdl": {"weight_alignment": 0.0}}
    first = make_engine(pictures, terms=make_terms(late, **no_text))
    first.run(save_dir=str(tmp_path), max_epoch=1)  # too short for the text
    assert first.text.is_open
    for go_on in ("resume", "branch"):
        engine = make_engine(pictures, terms=make_terms(late, **no_text))
        start = getattr(engine, go_on)(str(tmp_path))
        engine.run(save_dir=str(tmp_path / go_on), max_epoch=2, start_epoch=start)  # too short for the text again
        with pytest.raises(CCAFLError, match=r"^The checkpoint of epoch 2 has no prompts [^\n]* 'alignment' compares"):
            engine.run(save_dir=str(tmp_path / go_on), max_epoch=3, start_epoch=2)


def test_checkpoints_that_do_not_fit(pictures: Path, trunk: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures)
    with pytest.raises(CCAFLError, match=r"^ccafl\.branch_from: there is no checkpoint in "):
        engine.branch(str(tmp_path))
    shutil.copytree(trunk, tmp_path, dirs_exist_ok=True)
    manifest = json.loads((tmp_path / "checkpoint-2.json").read_text())
    del manifest["contents"], manifest["sha256"]  # they would tell of every change
    manifest["architecture"]["proxies"] = 7
    (tmp_path / "checkpoint-2.json").write_text(json.dumps(manifest))
    with pytest.raises(CCAFLError, match=r"is a checkpoint of \{[^\n]*'proxies': 7\}, but this run is \{"):
        engine.branch(str(tmp_path))
    manifest["architecture"]["proxies"] = engine.labels.num_proxies
    shutil.copy(tmp_path / manifest["parts"]["prompts"], tmp_path / manifest["parts"]["proxy_classifier"])
    (tmp_path / "checkpoint-2.json").write_text(json.dumps(manifest))
    with pytest.raises(CCAFLError, match=r"^ccafl\.branch_from: the part 'proxy_classifier' of [^\n]* does not match"):
        engine.branch(str(tmp_path))


def test_named_epochs_are_kept(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, terms=make_terms(SHARED), keep=1, keep_epochs=[0, 2])
    engine.run(save_dir=str(tmp_path), max_epoch=EPOCHS)
    kept = [0, 2, EPOCHS]
    assert [path.name for path in checkpoints.manifests(tmp_path)] == [f"checkpoint-{e}.json" for e in kept]
    for epoch in kept:
        assert checkpoints.load(tmp_path / f"checkpoint-{epoch}.json")[0]["epoch"] == epoch


def test_nothing_left_to_train_is_tested_and_saved_in_its_place(pictures: Path, tmp_path: Path) -> None:
    done = make_engine(pictures, keep_epochs=[1])
    done.run(save_dir=str(tmp_path), max_epoch=3)
    before = torch.load(tmp_path / "model" / "model.pth.tar-1", weights_only=False)["state_dict"]
    again = make_engine(pictures, keep_epochs=[1])
    again.run(save_dir=str(tmp_path), max_epoch=3, start_epoch=again.resume(str(tmp_path)))
    assert again.results == done.results
    assert again.history.association == done.history.association
    after = torch.load(tmp_path / "model" / "model.pth.tar-1", weights_only=False)["state_dict"]
    assert_equal(after, before)
