"""``ccafl-checkpoints``, and what a new run in a used folder says and moves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ccafl_plugin.engine import checkpoints, earlier_runs
from ccafl_plugin.runs.checkpoints_command import main
from ccafl_plugin.utils.folder_lock import lock_folder
from tests.engine.small_runs import make_engine, make_terms


def save(folder: Path, epoch: int) -> None:
    part = {"state_dict": {"w": torch.arange(300.0)}, "epoch": epoch, "rank1": 0.5}
    checkpoints.save(folder, {"model": part}, {"architecture": "a"}, keep=9)


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Two earlier runs, and one with the checkpoints of epochs 4 and 5."""
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    save(tmp_path, 1)
    save(tmp_path, 2)
    earlier_runs.set_aside(tmp_path)
    save(tmp_path, 3)
    earlier_runs.set_aside(tmp_path)
    save(tmp_path, 4)
    save(tmp_path, 5)
    (tmp_path / "earlier-notes").mkdir()
    capsys.readouterr()
    return tmp_path


def test_checkpoints_are_listed_and_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert out == (
        "checkpoint-4.json: after epoch 4, whole\ncheckpoint-5.json: after epoch 5, whole\n"
        "earlier-1: checkpoints after epochs 1, 2, 0.0 MB, of an earlier run\n"
        "earlier-2: checkpoints after epochs 3, 0.0 MB, of an earlier run\nNothing was written or removed.\n"
    )
    (folder / "model" / "model.pth.tar-5").write_bytes(b"")
    manifest = json.loads((folder / "checkpoint-4.json").read_text())
    (folder / "checkpoint-4.json").write_text(json.dumps({key: manifest[key] for key in ("epoch", "parts")}))
    (folder / "checkpoint-6.json").write_text('{"epoch": 6, "parts": {"model": "/etc/passwd"}}')
    assert main([str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("all files are there; version 0.1.0 stored no digests")
    assert "DAMAGED: the checkpoint" in lines[1] and lines[1].endswith("is empty.")
    assert "NOT OURS: the manifest" in lines[2]


def test_earlier_runs_are_removed_on_request_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "earlier-2" / "notes.txt").write_text("the user's")
    (folder / "earlier-7").symlink_to(folder / "earlier-notes")
    assert (folder / "earlier-1" / "results.json").exists()
    assert (folder / "earlier-1" / "weights.safetensors").exists()
    assert main([str(folder), "--remove-earlier"]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"Removed {folder / 'earlier-1'}, 0.0 MB\n"
    assert printed.err.startswith(
        f"error: {folder / 'earlier-2'} was not removed: notes.txt in it is not of a checkpoint."
    )
    assert sorted(path.name for path in folder.glob("earlier-*")) == ["earlier-2", "earlier-7", "earlier-notes"]
    assert len(list((folder / "earlier-2").rglob("*.tar-3"))) == 1
    (folder / "earlier-2" / "notes.txt").unlink()
    assert main([str(folder), "--remove-earlier"]) == 0
    assert [checkpoints.epoch_of(path) for path in checkpoints.manifests(folder)] == [4, 5]
    assert main([str(folder), "--remove-earlier"]) == 0
    assert capsys.readouterr().out.endswith("Nothing to remove: there is no folder earlier-N.\n")


def test_mistakes_are_one_line(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: FOLDER: there is no checkpoint in ")
    lock_folder(folder)
    assert main([str(folder), "--remove-earlier"]) == 2
    assert "another process is using" in capsys.readouterr().err
    assert (folder / "earlier-1").exists()


def test_the_last_epoch_is_saved_once_and_earlier_runs_are_listed(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a test after every epoch; the scores are in the manifest, and half-written files are gone."""
    written: list[str] = []
    write = checkpoints._write_part
    monkeypatch.setattr(checkpoints, "_write_part", lambda file, state: written.append(file.name) or write(file, state))
    terms = {"proxy_classifier": (0, -1)}
    (tmp_path / "results.json").write_text("{}")  # of a run that left nothing else
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pth.tar-3.123.partial").write_bytes(b"half")
    (tmp_path / "model" / "mine.partial").write_bytes(b"the user's")
    engine = make_engine(pictures, terms=make_terms(terms))
    engine.run(save_dir=str(tmp_path), max_epoch=2, eval_freq=1)
    assert written == ["model.pth.tar-1"] * 2 + ["model.pth.tar-2"] * 2  # model and proxy classifier
    out = capsys.readouterr().out
    assert out.count("Checkpoint saved to") == 2
    assert "model.pth.tar-3.123.partial, which an interrupted run had not finished" in out
    assert "--remove-earlier removes them):\n  earlier-1: results, 0.0 MB\n" in out
    assert sorted(path.name for path in tmp_path.rglob("*.partial")) == ["mine.partial"]
    assert not (tmp_path / "results.json").exists()
    rank1 = engine.results["market1501"]["rank1"]
    assert json.loads((tmp_path / "checkpoint-2.json").read_text())["rank1"] == rank1 > 0
    again = make_engine(pictures, terms=make_terms(terms))
    assert again.resume(str(tmp_path)) == 2 and again.state.rank1 == rank1
    with torch.no_grad():
        next(again.model.parameters()).add_(1.0)
    again.save_model(1, 0.25, str(tmp_path))  # by hand, after the run: everything is written
    assert written[4:] == ["model.pth.tar-2"] * 2
    assert checkpoints.load(tmp_path)[0]["rank1"] == 0.25
