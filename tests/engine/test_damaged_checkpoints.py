"""A newest checkpoint that is damaged is named in one line, and the one before is used."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.utils import digests
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import assert_equal, make_engine, make_terms, weights

FILES = ("checkpoint-{}.json", "model/model.pth.tar-{}", "prompts/model.pth.tar-{}")


def save(folder: Path, epoch: int, keep: int = 5) -> None:
    parts = {
        name: {"state_dict": {"w": torch.arange(20.0) * epoch * factor}, "epoch": epoch, "rank1": 0.5}
        for name, factor in (("model", 1), ("prompts", -1))
    }
    checkpoints.save(folder, parts, {"architecture": "a"}, keep)


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run's folder with the checkpoints of epochs 1 and 2."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    capsys.readouterr()
    return tmp_path


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path, place: int | None = None) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    file.write_bytes(content)


def take_another_epochs(file: Path) -> None:
    shutil.copyfile(file.with_name(file.name.replace("-2", "-1")), file)


def take_the_other_parts(file: Path) -> None:
    shutil.copyfile(file.parent.parent / "prompts" / file.name, file)


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a part is cut off": ("model/model.pth.tar-2", cut, "its part '[^']*model/model.pth.tar-2' has [0-9,]+ bytes, not"),
    "a part is empty": ("prompts/model.pth.tar-2", empty, "its part '[^']*prompts/model.pth.tar-2' is empty"),
    "a bit of a part is flipped": ("model/model.pth.tar-2", flip, "has other content than was written"),
    "a part is missing": ("prompts/model.pth.tar-2", os.unlink, "the part 'prompts' of the checkpoint is missing"),
    "a part is another epoch's": ("model/model.pth.tar-2", take_another_epochs, "has other content than was written"),
    "a part is another part's": ("model/model.pth.tar-2", take_the_other_parts, "has other content than was written"),
    "the manifest is cut off": ("checkpoint-2.json", cut, "is not the manifest of a checkpoint"),
    "the manifest is empty": ("checkpoint-2.json", empty, r"is not the manifest of a checkpoint \(it is empty\)"),
    "a bit of the manifest is flipped": ("checkpoint-2.json", flip, "checkpoint"),
    "the manifest is another epoch's": ("checkpoint-2.json", take_another_epochs, "names 'model/model.pth.tar-1'"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_the_one_before_is_used(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, damage, expected = DAMAGE[name]
    damage(folder / file)
    if "names" in expected:  # it names files of another place; who wrote it is not known, so nothing is opened
        with pytest.raises(CCAFLError, match=expected):
            checkpoints.load(folder)
        return
    manifest, parts = checkpoints.load(folder)
    assert manifest["epoch"] == 1
    assert torch.equal(parts["model"]["state_dict"]["w"], torch.arange(20.0))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(
        rf"warning: model\.resume: [^\n]*{expected}[^\n]* The checkpoint before it is used: checkpoint-1\.json\.\n$",
        printed.err,
    )
    for path in ("checkpoint-2.json", "prompts/model.pth.tar-2"):
        if (folder / path).exists():  # named by itself, it is refused
            with pytest.raises(CCAFLError, match=r"^model\.resume: [^\n]*before it is '[^\n]*checkpoint-1\.json'\.$"):
                checkpoints.load(folder / path)


def test_every_flipped_byte_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every seventh byte of every file of the newest checkpoint, one after the other."""
    tried = 0
    for name in FILES:
        file = folder / name.format(2)
        whole = file.read_bytes()
        for place in range(0, len(whole), 7):
            flip(file, place)
            try:
                epoch = checkpoints.load(folder)[0]["epoch"]
            except CCAFLError as error:  # a name that left its place
                assert "which is no file of a checkpoint in its folder" in str(error)
                epoch = 1
            if json_of(whole) is None or json_of(whole) != json_of(file.read_bytes()):  # a space may become a tab
                assert epoch == 1, (name, place)
            file.write_bytes(whole)
            tried += 1
        capsys.readouterr()
    assert checkpoints.load(folder)[0]["epoch"] == 2
    with capsys.disabled():
        print(f" [{tried} flipped bytes found]", end="")


def json_of(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_no_checkpoint_is_whole(folder: Path) -> None:
    for epoch in (1, 2):
        cut(folder / "model" / f"model.pth.tar-{epoch}")
    with pytest.raises(
        CCAFLError, match=r"^[^\n]*tar-1' has [^\n]* None of the 2 checkpoints in the folder is whole\.$"
    ):
        checkpoints.load(folder)


def test_without_digests_a_part_of_another_epoch_is_found(folder: Path) -> None:
    manifest = folder / "checkpoint-2.json"
    old = {key: value for key, value in json.loads(manifest.read_text()).items() if key in ("epoch", "parts")}
    manifest.write_text(json.dumps(old))
    assert checkpoints.load(folder)[0] == old
    take_another_epochs(folder / "model" / "model.pth.tar-2")
    with pytest.raises(CCAFLError, match=r"is damaged: its part '[^\n]*tar-2' is of epoch 1\."):
        checkpoints.load(manifest)


def test_what_was_written_is_read_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that keeps other bytes than it was given: nothing is written, nothing is deleted."""
    with monkeypatch.context() as patch:
        patch.setattr(digests, "facts_of_file", lambda file: digests.FileFacts(1, "0"))
        with pytest.raises(OSError, match="what was read back is not what was written"):
            save(folder, 3, keep=1)
    assert not list(folder.rglob("*.partial"))
    assert checkpoints.load(folder)[0]["epoch"] == 2
    assert checkpoints.load(folder / "checkpoint-1.json")[0]["epoch"] == 1


def test_files_and_folders_reach_the_disk_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync of each part, of its folder, of the manifest, and of the run's folder; nothing is deleted before."""
    seen: list[str] = []
    fsync, unlink = os.fsync, Path.unlink

    def watched_fsync(handle: int) -> None:
        seen.append(re.sub(r"\.\d+\.partial$", "", os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path)))
        fsync(handle)

    def watched_unlink(self: Path, missing_ok: bool = False) -> None:
        seen.append(f"deleted {self.relative_to(tmp_path)}")
        unlink(self, missing_ok=missing_ok)

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc to see which file a handle is of")
    save(tmp_path, 1)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "unlink", watched_unlink)
    save(tmp_path, 2, keep=1)
    assert seen == [
        *("model/model.pth.tar-2", "model", "prompts/model.pth.tar-2", "prompts", "checkpoint-2.json", "."),
        *("deleted checkpoint-1.json", "deleted model/model.pth.tar-1", "deleted prompts/model.pth.tar-1"),
    ]


def test_a_run_goes_on_from_the_one_before(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same numbers as without the damage, and the damaged checkpoint is out of the way."""
    terms = {"proxy_classifier": (0, -1), "icdl": (0, -1)}
    whole = make_engine(pictures, terms=make_terms(terms))
    whole.run(save_dir=str(tmp_path), max_epoch=3)
    flip(tmp_path / "model" / "model.pth.tar-3")
    again = make_engine(pictures, terms=make_terms(terms))
    start = again.resume(str(tmp_path))
    assert start == 2
    again.run(save_dir=str(tmp_path), max_epoch=3, start_epoch=start)
    assert_equal(weights(again), weights(whole))
    assert capsys.readouterr().err.count("checkpoint-2.json") == 1
    assert (tmp_path / "earlier-1" / "checkpoint-3.json").exists()
    assert checkpoints.load(tmp_path)[0]["epoch"] == 3


def test_the_manifest_says_what_made_it(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    engine.history.settings = {"train.lr": 1e-3}
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    manifest = json.loads((tmp_path / "checkpoint-1.json").read_text())
    assert manifest["settings"] == {"train.lr": 1e-3}
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["dataset"]["images"] == 54
    assert re.fullmatch(r"[0-9a-f]{16}", manifest["dataset"]["digest"])
    assert set(manifest["contents"]) == {"model", "prompts"} and len(manifest["sha256"]) == 64


def test_a_checkpoint_of_version_0_1_0_is_resumed_with_a_note(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest has four entries."""
    engine = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    file = tmp_path / "checkpoint-1.json"
    manifest = json.loads(file.read_text())
    del manifest["history"]["settings"]
    old = {key: manifest[key] for key in ("epoch", "parts", "architecture", "effective_settings", "history")}
    file.write_text(json.dumps(old))
    capsys.readouterr()
    again = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    assert again.resume(str(tmp_path)) == 1
    assert "Note: the checkpoint is of version 0.1.0, which stored no sizes and digests" in capsys.readouterr().out
    assert_equal(weights(again), weights(engine))
    again.history.settings = {"train.lr": 1e-3}
    assert again.history.settings_so_far() == [{"first_epoch": 0, "settings": None}]
