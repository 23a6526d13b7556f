"""A manifest names files of its own folder, nothing else: what it names is opened, moved and deleted."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.engine import checkpoints, earlier_runs
from ccafl_plugin.utils.errors import CCAFLError
from tests.hostile.file_contents import RAN, saved
from tests.hostile.weight_files import CODE


def save(folder: Path, epoch: int, keep: int = 5) -> Path:
    part = {"state_dict": {"w": torch.zeros(2)}, "epoch": epoch, "rank1": 0.5}
    checkpoints.save(folder, {"model": part}, {"architecture": "a"}, keep)
    return folder / f"checkpoint-{epoch}.json"


def names(manifest: Path, parts: Any) -> None:
    content = json.loads(manifest.read_text())
    content.pop("sha256")  # somebody who writes a manifest writes its digest too, or none
    manifest.write_text(json.dumps({**content, "parts": parts}))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside the run's folder that nothing may touch."""
    file = tmp_path / "outside" / "model.pth.tar-1"
    file.parent.mkdir()
    file.write_bytes(saved({"state_dict": {"w": torch.ones(2)}}))
    return file


PLACES: dict[str, Callable[[Path], Any]] = {
    "an absolute path": lambda victim: {"model": str(victim)},
    "a path upwards": lambda victim: {"model": "../outside/model.pth.tar-1"},
    "a path down and upwards": lambda victim: {"model": "model/../../outside/model.pth.tar-1"},
    "a part's name upwards": lambda victim: {"../outside": "../outside/model.pth.tar-1"},
    "an absolute part's name": lambda victim: {str(victim.parent): str(victim)},
    "a part without a name": lambda victim: {"": "/model.pth.tar-1"},
    "a part called ..": lambda victim: {"..": "../model.pth.tar-1"},
    "a backslash": lambda victim: {"..\\outside": "..\\outside/model.pth.tar-1"},
    "a zero byte": lambda victim: {"model\0": "model\0/model.pth.tar-1"},
    "another file of the folder": lambda victim: {"model": "config.yaml"},
    "another part's file": lambda victim: {"model": "prompts/model.pth.tar-1"},
    "another epoch's file": lambda victim: {"model": "model/model.pth.tar-2"},
    "a list for a file": lambda victim: {"model": ["model/model.pth.tar-1"]},
    "a number for a file": lambda victim: {"model": 1},
}


def untouched(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", PLACES)
def test_no_file_of_another_place_is_opened_moved_or_deleted(
    name: str, tmp_path: Path, victim: Path, count: Counter[str]
) -> None:
    folder = tmp_path / "run"
    manifest = save(folder, 1)
    save(folder, 2)
    (folder / "config.yaml").write_text("the user's")
    names(manifest, PLACES[name](victim))
    before = untouched(tmp_path)
    expected = (
        rf"^[a-z._]+: the manifest '{re.escape(str(manifest))}' names [^\n]*; nothing was opened, moved or deleted\."
    )
    for act in (
        lambda: checkpoints.load(manifest),
        lambda: checkpoints.load(manifest, "ccafl.branch_from"),
        lambda: earlier_runs.set_aside(folder),
    ):
        with pytest.raises(CCAFLError, match=expected) as error:
            act()
        assert "\n" not in str(error.value)
        assert untouched(tmp_path) == before
    with pytest.raises(CCAFLError, match=expected):  # the old manifest would be dropped now
        save(folder, 3, keep=1)
    assert all(Path(file).read_bytes() == content for file, content in before.items())
    count["manifests with files of another place refused in one line"] += 1


def test_a_link_out_of_the_folder(tmp_path: Path, victim: Path, count: Counter[str]) -> None:
    folder = tmp_path / "run"
    manifest = save(folder, 1)
    (folder / "model" / "model.pth.tar-1").unlink()
    (folder / "model").rmdir()
    (folder / "model").symlink_to(victim.parent)
    for act in (lambda: checkpoints.load(manifest), lambda: earlier_runs.set_aside(folder)):
        with pytest.raises(CCAFLError, match=r"names 'model/model\.pth\.tar-1' as its part 'model', which is no file"):
            act()
    assert victim.is_file()
    count["manifests with files of another place refused in one line"] += 1


def test_a_run_reached_by_a_link_is_a_run(tmp_path: Path) -> None:
    save(tmp_path / "disk" / "run", 1)
    (tmp_path / "log").symlink_to(tmp_path / "disk" / "run")
    assert checkpoints.load(tmp_path / "log")[0]["epoch"] == 1


BROKEN: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "is not the manifest of a checkpoint"),
    "a list": ("[]", "is not the manifest of a checkpoint"),
    "no parts": ('{"epoch": 1}', "is not the manifest of a checkpoint"),
    "parts in a list": ('{"epoch": 1, "parts": [1]}', "is not the manifest of a checkpoint"),
    "parts by number": ('{"epoch": 1, "parts": 5}', "is not the manifest of a checkpoint"),
    "no number of epochs": ('{"epoch": "one", "parts": {}}', "is not the manifest of a checkpoint"),
    "endless epochs": ('{"epoch": 1e999, "parts": {}}', "is not the manifest of a checkpoint"),
    "nested 100000 deep": ("[" * 100_000, "is not the manifest of a checkpoint"),
    "bytes": ("\udcff\udcfe", "is not the manifest of a checkpoint"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_is_one_line(name: str, tmp_path: Path, count: Counter[str]) -> None:
    text, expected = BROKEN[name]
    (tmp_path / "checkpoint-1.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CCAFLError, match=rf"^model\.resume: [^\n]*{expected}[^\n]*$"):
        checkpoints.load(tmp_path)
    assert earlier_runs.set_aside(tmp_path) == tmp_path / "earlier-1"
    count["broken manifests refused in one line"] += 1


PARTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "code": (CODE["in torch.save's archive"][0], r"it names posix\.system"),
    "a number for the weights": (lambda: saved({"state_dict": 5}), "its 'state_dict' is an int"),
    "no weights": (lambda: saved({"epoch": 1}), "it has no 'state_dict'"),
    "a list": (lambda: saved([1]), "it holds a list"),
    "a list for a tensor": (lambda: saved({"state_dict": {"w": [1.0]}}), "holds no tensor"),
    "a web page": (lambda: b"<html></html>", "it is a web page"),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_none(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path, 1)
    make, expected = PARTS[name]
    (tmp_path / "model" / "model.pth.tar-1").write_bytes(make())
    with pytest.raises(CCAFLError, match=r"^model\.resume: [^\n]* is damaged: its part '[^\n]*' has [^\n]*$"):
        checkpoints.load(tmp_path)
    manifest = tmp_path / "checkpoint-1.json"
    kept = {key: value for key, value in json.loads(manifest.read_text()).items() if key in ("epoch", "parts")}
    manifest.write_text(json.dumps(kept))  # as somebody writes it who does not want the part to be compared
    with pytest.raises(CCAFLError, match=rf"^model\.resume: [^\n]*{expected}[^\n]*$"):
        checkpoints.load(tmp_path)
    assert not Path(RAN).exists()
    count["parts that are none refused in one line"] += 1


def test_a_part_that_is_a_pipe(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "model" / "model.pth.tar-1").unlink()
    os.mkfifo(tmp_path / "model" / "model.pth.tar-1")
    with pytest.raises(CCAFLError, match="the part 'model' of the checkpoint is missing"):
        checkpoints.load(tmp_path)
