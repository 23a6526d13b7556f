"""Checkpoints: whole or not there, the newest kept, and every wrong path one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

from ccafl_plugin.engine import checkpoints, resumable
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


def test_checkpoints_of_others_are_set_aside_whole(tmp_path: Path) -> None:
    for epoch in (3, 4, 5):
        save(tmp_path, epoch, keep=3)
    (tmp_path / "checkpoint-notes.json").write_text("of the user")
    assert checkpoints.set_aside(tmp_path, behind=5) is None
    assert checkpoints.set_aside(tmp_path, behind=4) == tmp_path / "earlier-1"
    assert [path.name for path in checkpoints.manifests(tmp_path)] == ["checkpoint-3.json", "checkpoint-4.json"]
    assert checkpoints.load(tmp_path / "earlier-1")[1]["model"]["state_dict"]["w"].tolist() == [5.0, 5.0]
    assert checkpoints.set_aside(tmp_path) == tmp_path / "earlier-2"
    assert checkpoints.manifests(tmp_path) == []
    assert {file.name for file in (tmp_path / "earlier-2" / "prompts").iterdir()} == {
        "model.pth.tar-3",
        "model.pth.tar-4",
    }
    assert (tmp_path / "checkpoint-notes.json").exists()


def test_a_run_in_a_used_folder_keeps_its_own_checkpoints(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terms = {"icdl": (0, -1), "proxy_classifier": (0, -1)}
    make_engine(pictures, terms=make_terms(terms)).run(save_dir=str(tmp_path), max_epoch=3)
    assert "earlier run" not in capsys.readouterr().out
    make_engine(pictures, terms=make_terms(terms), keep=1).run(save_dir=str(tmp_path), max_epoch=1)
    assert f'are now in "{tmp_path / "earlier-1"}"' in capsys.readouterr().out
    assert [path.name for path in checkpoints.manifests(tmp_path)] == ["checkpoint-1.json"]
    assert [path.name for path in checkpoints.manifests(tmp_path / "earlier-1")] == [
        "checkpoint-2.json",
        "checkpoint-3.json",
    ]
    back = make_engine(pictures, terms=make_terms(terms))
    back.run(save_dir=str(tmp_path), max_epoch=2, start_epoch=back.resume(str(tmp_path / "checkpoint-1.json")))
    assert [path.name for path in checkpoints.manifests(tmp_path)] == ["checkpoint-1.json", "checkpoint-2.json"]
    again = make_engine(pictures, terms=make_terms(terms))
    again.run(save_dir=str(tmp_path), max_epoch=3, start_epoch=again.resume(str(tmp_path / "checkpoint-1.json")))
    assert [path.name for path in checkpoints.manifests(tmp_path / "earlier-2")] == ["checkpoint-2.json"]


def test_a_run_goes_on_with_its_own_learning_rate_and_schedule(pictures: Path, tmp_path: Path) -> None:
    terms = make_terms({"icdl": (0, -1)})
    make_engine(pictures, terms=terms).run(save_dir=str(tmp_path), max_epoch=1)
    slower = make_engine(pictures, terms=terms)
    for group in slower.optimizer.param_groups:
        group["initial_lr"] /= 10
    with pytest.raises(CCAFLError, match=r"^model\.resume: [^\n]*trained with lr 0\.002 instead of 0\.0002"):
        slower.resume(str(tmp_path))
    other = make_engine(pictures, terms=terms)
    other.scheduler.milestones[7] = other.scheduler.milestones.pop(2)
    with pytest.raises(CCAFLError, match=r"trained with milestones \[2\] instead of \[7\]; to train with other"):
        other.resume(str(tmp_path))


def test_checkpoints_fit_with_and_without_data_parallel(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    engine._models["model"] = torch.nn.DataParallel(engine.model)
    assert engine.resume(str(tmp_path)) == 1
    engine.save_model(0, 0.0, str(tmp_path))
    file = tmp_path / "model" / "model.pth.tar-1"
    state = torch.load(file, weights_only=False)
    assert not any(name.startswith("module.") for name in state["state_dict"])
    state["state_dict"] = {f"module.{name}": tensor for name, tensor in state["state_dict"].items()}
    torch.save(state, file)  # as torchreid's own scripts save it on a GPU
    assert make_engine(pictures, terms=make_terms({"icdl": (0, -1)})).resume(str(tmp_path)) == 1


def test_code_that_computed_a_checkpoint_is_remembered(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = make_terms({"proxy_classifier": (0, -1)})
    for epoch, digest in enumerate(("first", "second", "second"), start=1):
        monkeypatch.setattr(resumable, "code_digest", lambda digest=digest: digest)
        engine = make_engine(pictures, terms=terms)
        start = engine.resume(str(tmp_path)) if epoch > 1 else 0
        engine.run(save_dir=str(tmp_path), max_epoch=epoch, start_epoch=start)
        assert engine.earlier_code == ([] if epoch == 1 else ["first"])


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
    (tmp_path / "prompts" / "model.pth.tar-1").write_bytes(b"half")
    with pytest.raises(CCAFLError, match=r"^model\.resume: can't read '[^\n]*tar-1' as a checkpoint: [^\n]+$"):
        checkpoints.load(tmp_path)
    (tmp_path / "no_epoch.json").write_text('{"parts": {}}')
    with pytest.raises(CCAFLError, match=r"no_epoch\.json' is no manifest of a checkpoint"):
        checkpoints.load(tmp_path / "no_epoch.json")
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
