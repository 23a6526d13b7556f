"""Checkpoints: whole or not there, the newest kept, and every wrong path one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

from ccafl_plugin.engine import checkpoints, earlier_runs
from ccafl_plugin.utils.errors import CCAFLError


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
    manifest = json.loads((tmp_path / "checkpoint-3.json").read_text())
    assert manifest["epoch"] == 3
    assert manifest["parts"] == {"model": "model/model.pth.tar-3", "prompts": "prompts/model.pth.tar-3"}
    assert manifest["architecture"] == "a"
    for part, file in manifest["parts"].items():
        content = (tmp_path / file).read_bytes()
        assert manifest["contents"][part] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


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

    def dies(state: Any, file: Any) -> None:
        calls.append(file)
        if len(calls) == 2:
            raise KeyboardInterrupt
        file.write(b"half")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2)
    assert len(calls) == 2
    assert not list(tmp_path.rglob("*.partial"))
    manifest, parts = checkpoints.load(tmp_path)
    assert manifest["epoch"] == 1
    assert parts["model"]["state_dict"]["w"].tolist() == [1.0, 1.0]


def test_checkpoints_of_others_are_set_aside_whole(tmp_path: Path) -> None:
    for epoch in (3, 4, 5):
        save(tmp_path, epoch, keep=3)
    (tmp_path / "checkpoint-notes.json").write_text("of the user")
    (tmp_path / "checkpoint-best-9.json").write_text("of the user")
    assert earlier_runs.set_aside(tmp_path, behind=5) is None
    assert earlier_runs.set_aside(tmp_path, behind=4) == tmp_path / "earlier-1"
    assert [path.name for path in checkpoints.manifests(tmp_path)] == ["checkpoint-3.json", "checkpoint-4.json"]
    assert checkpoints.load(tmp_path / "earlier-1")[1]["model"]["state_dict"]["w"].tolist() == [5.0, 5.0]
    assert earlier_runs.set_aside(tmp_path) == tmp_path / "earlier-2"
    assert checkpoints.manifests(tmp_path) == []
    assert {file.name for file in (tmp_path / "earlier-2" / "prompts").iterdir()} == {
        "model.pth.tar-3",
        "model.pth.tar-4",
    }
    assert (tmp_path / "checkpoint-notes.json").exists()
    (tmp_path / "checkpoint-8.json").write_text("{")
    assert earlier_runs.set_aside(tmp_path) == tmp_path / "earlier-3"


def test_wrong_paths(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "model" / "model.pth.tar-5").write_bytes(b"alone")
    for path, fragment in {
        "empty": "there is no checkpoint in",
        "nowhere": "there is no file",
        "broken.json": "is not the manifest",
        "model/model.pth.tar-5": "belongs to no complete checkpoint",
    }.items():
        with pytest.raises(CCAFLError, match=rf"^model\.resume: [^\n]*{fragment}"):
            checkpoints.load(tmp_path / path)
    (tmp_path / "prompts" / "model.pth.tar-1").write_bytes(b"half")
    with pytest.raises(CCAFLError, match=r"^model\.resume: [^\n]* is damaged: its part '[^\n]*tar-1' has 4 bytes, not"):
        checkpoints.load(tmp_path)
    (tmp_path / "no_epoch.json").write_text('{"parts": {}}')
    with pytest.raises(CCAFLError, match=r"no_epoch\.json' is not the manifest of a checkpoint"):
        checkpoints.load(tmp_path / "no_epoch.json")
    (tmp_path / "prompts" / "model.pth.tar-1").unlink()
    with pytest.raises(CCAFLError, match="the part 'prompts' of the checkpoint is missing"):
        checkpoints.load(tmp_path)
