"""Checkpoints: whole or not there, the newest kept, and every wrong path one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.errors import CCAFLError
from tests.engine.small_runs import make_engine, make_manager, make_terms


def save(folder: Path, epoch: int, keep: int = 2) -> None:
    parts = {
        name: {"state_dict": {"w": torch.full((2,), float(epoch))}, "epoch": epoch, "rank1": 0.5}
        for name in ("model", "prompts")
    }
    checkpoints.save(folder, parts, {"architecture": "a"}, keep)


def test_layout_is_torchreids(tmp_path: Path) -> None:
    save(tmp_path, 3)
    state = torchreid.utils.load_checkpoint(str(tmp_path / "model" / "model.pth.tar-3"))
    assert state["epoch"] == 3
    assert json.loads((tmp_path / "checkpoint-3.json").read_text()) == {
        "epoch": 3,
        "parts": {"model": "model/model.pth.tar-3", "prompts": "prompts/model.pth.tar-3"},
        "architecture": "a",
    }


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for epoch in (8, 9, 10, 11):
        save(tmp_path, epoch, keep=3)
    assert [path.name for path in checkpoints.manifests(tmp_path)] == [f"checkpoint-{e}.json" for e in (9, 10, 11)]
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert files == {"model.pth.tar-9", "model.pth.tar-10", "model.pth.tar-11"}


@pytest.mark.parametrize("path", [".", "checkpoint-7.json", "model/model.pth.tar-7", "prompts/model.pth.tar-7"])
def test_every_way_to_name_a_checkpoint(tmp_path: Path, path: str) -> None:
    save(tmp_path, 6)
    save(tmp_path, 7)
    manifest, parts = checkpoints.load(tmp_path / path)
    assert manifest["epoch"] == 7
    assert parts["prompts"]["state_dict"]["w"].tolist() == [7.0, 7.0]


def test_an_interrupted_save_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    calls = []

    def dies(state: Any, file: Path) -> None:
        calls.append(file)
        if len(calls) == 2:
            raise KeyboardInterrupt
        Path(file).write_bytes(b"half")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2)
    assert len(calls) == 2
    manifest, parts = checkpoints.load(tmp_path)
    assert manifest["epoch"] == 1
    assert parts["model"]["state_dict"]["w"].tolist() == [1.0, 1.0]


def test_wrong_paths(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "model" / "model.pth.tar-5").write_bytes(b"alone")
    for path, fragment in {
        "empty": "no checkpoint in",
        "nowhere": "no file at",
        "broken.json": "is no manifest",
        "model/model.pth.tar-5": "belongs to no whole checkpoint",
    }.items():
        with pytest.raises(CCAFLError, match=rf"^model\.resume: [^\n]*{fragment}"):
            checkpoints.load(tmp_path / path)
    (tmp_path / "prompts" / "model.pth.tar-1").unlink()
    with pytest.raises(CCAFLError, match="the part 'prompts' of the checkpoint is missing"):
        checkpoints.load(tmp_path)


def test_a_checkpoint_of_another_run_is_refused(pictures: Path, tmp_path: Path) -> None:
    make_engine(pictures).run(save_dir=str(tmp_path), max_epoch=1)
    other_terms = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    with pytest.raises(CCAFLError, match=r"with the parts \['model', 'prompts', 'proxy_classifier'\], this run is"):
        other_terms.resume(str(tmp_path))
    model = torchreid.models.build_model("osnet_x0_25", num_classes=1, loss="triplet", pretrained=False)
    optimizer = torch.optim.Adam(model.parameters())
    terms = make_terms({"proxy_classifier": (0, -1)})
    other_model = torchreid.engine.ImageCCAFLEngine(make_manager(pictures), model, optimizer, terms=terms)
    with pytest.raises(CCAFLError, match=r"clip_tiny.*this run is .*OSNet"):
        other_model.resume(str(tmp_path))
