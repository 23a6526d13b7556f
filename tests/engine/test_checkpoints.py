"""Checkpoints: whole or not there, the newest kept, and every wrong path one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

from ccafl_plugin.engine import checkpoints, resuming
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import assert_equal, make_engine, make_manager, make_terms, weights


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
    (tmp_path / "checkpoint-best-9.json").write_text("of the user")
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
    (tmp_path / "checkpoint-8.json").write_text("{")
    assert checkpoints.set_aside(tmp_path) == tmp_path / "earlier-3"


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
    again = make_engine(pictures, terms=make_terms(terms), keep=9)
    again.run(save_dir=str(tmp_path), max_epoch=3, start_epoch=again.resume(str(tmp_path / "checkpoint-1.json")))
    assert [path.name for path in checkpoints.manifests(tmp_path / "earlier-2")] == ["checkpoint-2.json"]
    again.run(save_dir=str(tmp_path), max_epoch=4, start_epoch=3)  # the same engine goes on
    assert [checkpoints.epoch_of(path) for path in checkpoints.manifests(tmp_path)] == [1, 2, 3, 4]
    again.run(save_dir=str(tmp_path), max_epoch=0)  # nothing is trained
    assert not (tmp_path / "earlier-3").exists()


SCHEDULES = {
    "multi_step": {"stepsize": [2]},
    "single_step": {"stepsize": 2},
    "cosine": {"max_epoch": 5},
    "warmup_multi_step": {"stepsize": [2]},
    "warmup_cosine": {"max_epoch": 5},
}


def with_schedule(pictures: Path, name: str = "multi_step", **settings: Any) -> Any:
    """An engine with one term and a schedule of its own."""
    engine = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    lr = settings.pop("lr", 1e-3)
    optimizer = torchreid.optim.build_optimizer(engine.model, lr=lr)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler=name, **{**SCHEDULES[name], **settings})
    return type(engine)(make_manager(pictures), engine.model, optimizer, scheduler, terms=engine.terms, seed=1)


@pytest.mark.parametrize(
    ("first", "then", "difference"),
    [
        (("multi_step", {}), ("multi_step", {"lr": 1e-4}), "lr 0.001 instead of 0.0001"),
        (("multi_step", {}), ("multi_step", {"stepsize": [7]}), r"stepsize \[2\] instead of \[7\]"),
        (("multi_step", {}), ("multi_step", {"gamma": 0.5}), "gamma 0.1 instead of 0.5"),
        (("multi_step", {}), ("single_step", {}), "schedule MultiStepLR instead of StepLR"),
        (("multi_step", {}), ("warmup_multi_step", {}), "schedule MultiStepLR instead of WarmupMultiStep"),
        (("single_step", {}), ("single_step", {"stepsize": 3}), "stepsize 2 instead of 3"),
        (("cosine", {}), ("cosine", {"max_epoch": 9}), "max_epoch 5.0 instead of 9.0"),
        (("warmup_multi_step", {}), ("warmup_multi_step", {"stepsize": [1, 2]}), r"stepsize \[2\] instead of \[1, 2\]"),
        (("warmup_multi_step", {}), ("warmup_cosine", {}), "schedule WarmupMultiStep instead of WarmupCosine"),
        (("warmup_cosine", {}), ("warmup_cosine", {"max_epoch": 9}), "max_epoch 5 instead of 9"),
    ],
)
def test_a_run_goes_on_with_its_own_learning_rate_and_schedule(
    pictures: Path, tmp_path: Path, first: tuple[str, Any], then: tuple[str, Any], difference: str
) -> None:
    engine = with_schedule(pictures, first[0], **first[1])
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    assert with_schedule(pictures, first[0], **first[1]).resume(str(tmp_path)) == 1
    other = with_schedule(pictures, then[0], **then[1])
    fresh = weights(other)
    message = rf"^model\.resume: the part 'model' of [^\n]* was trained with {difference}; to train with other settings"
    with pytest.raises(CCAFLError, match=message):
        other.resume(str(tmp_path))
    assert_equal(weights(other), fresh)
    assert other.resume(str(tmp_path), to_train=False) == 1
    assert_equal(weights(other), weights(engine))


def test_schedules_that_move_more_than_the_rate_can_be_resumed(pictures: Path, tmp_path: Path) -> None:
    def make() -> Any:
        engine = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
        engine.scheduler = torch.optim.lr_scheduler.OneCycleLR(engine.optimizer, max_lr=1e-3, total_steps=9)
        engine._scheds["model"] = engine.scheduler
        return engine

    make().run(save_dir=str(tmp_path), max_epoch=2)
    again = make()
    again.run(save_dir=str(tmp_path), max_epoch=3, start_epoch=again.resume(str(tmp_path)))


def test_before_the_first_epoch_settings_may_change(pictures: Path, tmp_path: Path) -> None:
    make_engine(pictures, keep=9).run(save_dir=str(tmp_path), max_epoch=1)
    slower = make_engine(pictures)
    for group in slower.optimizer.param_groups:
        group["initial_lr"] /= 10
    assert slower.resume(str(tmp_path / "checkpoint-0.json")) == 0
    assert not slower.text.is_open
    with pytest.raises(CCAFLError, match=r"was trained with lr 0\.001 instead of 0\.0001"):
        slower.resume(str(tmp_path))


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
        monkeypatch.setattr(resuming, "code_digest", lambda digest=digest: digest)
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
