"""Resuming with other settings: refused, or said and kept in the history."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ccafl_plugin.config import default_config
from ccafl_plugin.runs import resuming
from ccafl_plugin.runs.resuming import changes
from ccafl_plugin.utils.trees import leaves
from tests.pages import REPOSITORY
from tests.runs.small_commands import train

REFUSED = {
    "train.seed": 2,
    "train.batch_size": 16,
    "train.optim": "sgd",
    "train.lr": 0.5,
    "data.height": 128,
    "data.width": 64,
    "data.sources": ["dukemtmcreid"],
    "sampler.num_instances": 8,
    "ccafl.iters_per_epoch": 5,
    "ccafl.supervision": "full",
    "ccafl.association.name": "margin",
    "ccafl.association.nearest_pairs.rate": 2.0,
    "ccafl.association.whitening": 1.0,
    "ccafl.stage1.epochs": 7,
    "ccafl.prompt_length": 8,
    "ccafl.label_noise.wrong": 0.1,
    "ccafl.terms.proxy_classifier.follow_encoder": 1.0,
}
FROM_HERE = {
    "ccafl.terms.ical.enabled": False,
    "ccafl.terms.icdl.weight": 0.5,
    "ccafl.terms.inter.margin": 0.1,
    "data.transforms": ["random_erase"],
    "train.max_epoch": 9,
    "ccafl.precision": "fp32",
    "test.dist_metric": "cosine",
    "data.targets": ["dukemtmcreid"],
}


@pytest.mark.parametrize("key", REFUSED)
def test_settings_that_a_run_keeps(key: str) -> None:
    found = changes({}, {key: REFUSED[key]}, epoch=3)
    assert list(found.refused) == [key]
    assert not found.from_here
    assert list(changes({key: REFUSED[key]}, {}, epoch=3).refused) == [key]  # back to the default
    before = changes({}, {key: REFUSED[key]}, epoch=0).refused
    assert bool(before) == any(resuming._fits(key, [pattern]) for pattern in resuming.ALWAYS_KEPT)


@pytest.mark.parametrize("key", FROM_HERE)
def test_settings_that_take_effect_from_here(key: str) -> None:
    found = changes({}, {key: FROM_HERE[key]}, epoch=3)
    assert list(found.from_here) == [key] and not found.refused
    (line,) = found.lines(3)
    assert line.startswith(f"From epoch 4 on, these settings are others than before: {key} {FROM_HERE[key]} (before ")


def test_other_changes() -> None:
    then = {"model.load_weights": "a.pth", "data.workers": 0, "data.root": "old", "ccafl.keep": 1}
    found = changes(then, {"data.root": "new", "data.workers": 2}, epoch=1)
    by_place = {"data.workers": 2, "loss.name": "ccafl", "data.transforms": ["random_flip", "pad_crop"]}
    assert not changes({**by_place, "data.workers": 0}, by_place, epoch=1).lines(1)
    for other in ({"ccafl.device_transforms": False}, {"loss.name": "softmax"}):
        assert changes({**by_place, **other, "data.workers": 0}, {**by_place, **other}, epoch=1).workers
    assert not found.refused and not found.from_here
    assert found.lines(1) == [
        "Without effect, because the run has begun already: model.load_weights empty (before a.pth).",
        "data.workers 2 (before 0): random augmentation is drawn per worker, so the numbers are not those of the "
        "unbroken run.",
    ]
    assert changes(then, then, epoch=1).lines(1) == []


def test_every_kind_is_of_keys_that_exist_and_is_documented() -> None:
    keys = [key for key, _ in leaves(default_config())]
    page = (REPOSITORY / "docs" / "checkpoints.md").read_text()
    kinds = (
        *resuming.ALWAYS_KEPT, *resuming.KEPT_AFTER_THE_START, *resuming.OF_THE_BEGINNING, resuming.PER_WORKER,
        *resuming.LABELS_ONLY,
    )  # fmt: skip
    for pattern in kinds:
        assert any(resuming._fits(key, [pattern]) for key in keys), pattern
        assert f"`{pattern}`" in page, pattern


def test_a_refused_resume_is_one_line_and_leaves_the_run_as_it_was(
    pictures: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    shutil.copytree(trained, folder)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}
    code = train(pictures, folder, "model.resume", str(folder), "train.seed", "2", "data.height", "128")
    printed = capsys.readouterr()
    assert code == 1
    assert re.match(
        r"error: model\.resume: a resumed run keeps these settings: data\.height 128 \(before 64\), train\.seed 2 "
        r"\(before 1\)\. Set them as before, or begin a new run in another data\.save_dir [^\n]*\n$",
        printed.err,
    )
    assert "Resumed" not in printed.out
    assert all(file.read_bytes() == content for file, content in before.items())


def test_changed_settings_are_said_and_kept_in_the_history(
    pictures: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    shutil.copytree(trained, folder)
    weight = ["ccafl.terms.icdl.weight", "0.5", "model.pretrained", "False", "train.max_epoch", "3"]
    assert train(pictures, folder, "model.resume", str(folder), *weight) == 0
    out = capsys.readouterr().out
    assert (
        "From epoch 3 on, these settings are others than before: ccafl.terms.icdl.weight 0.5 (before 1.0), "
        "train.max_epoch 3 (before 2).\n"
    ) in out
    written = json.loads((folder / "results.json").read_text())
    first, second = written["settings_history"]
    assert (first["first_epoch"], second["first_epoch"]) == (0, 2)
    assert "ccafl.terms.icdl.weight" not in first["settings"]
    assert second["settings"] == written["settings"]
    assert second["settings"]["ccafl.terms.icdl.weight"] == 0.5
    # The scores of the shorter run are not beside the checkpoints of the longer one.
    assert json.loads((folder / "earlier-1" / "results.json").read_text())["epochs"] == 2
    assert written["epochs"] == 3


def test_other_images_are_refused(
    pictures: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same number of proxies, but one image less; the root may move."""
    root = tmp_path / "moved"
    shutil.copytree(pictures, root)
    resume = ["model.resume", str(trained), "train.max_epoch", "2"]
    assert train(root, tmp_path / "log", *resume) == 0
    capsys.readouterr()
    next(root.rglob("bounding_box_train/*.jpg")).unlink()
    assert train(root, tmp_path / "log", *resume) == 1
    assert re.match(
        r"error: model\.resume: '[^\n]*' was trained on 54 other images or labels than these 53\. [^\n]*\n$",
        capsys.readouterr().err,
    )
