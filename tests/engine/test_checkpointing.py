"""Runs that are saved, resumed, and refused where a checkpoint is another run's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

from ccafl_plugin.engine import checkpoints, state
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import assert_equal, make_engine, make_manager, make_terms, weights


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
    message = (
        rf"^model\.resume: the part 'model' of [^\n]* was trained with {difference}\. To train with other settings"
    )
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
    manifest = json.loads((tmp_path / "checkpoint-1.json").read_text())
    del manifest["contents"], manifest["sha256"]  # they are of the file before
    (tmp_path / "checkpoint-1.json").write_text(json.dumps(manifest))
    assert make_engine(pictures, terms=make_terms({"icdl": (0, -1)})).resume(str(tmp_path)) == 1


def test_code_that_computed_a_checkpoint_is_remembered(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = make_terms({"proxy_classifier": (0, -1)})
    for epoch, digest in enumerate(("first", "second", "second"), start=1):
        monkeypatch.setattr(state, "code_digest", lambda digest=digest: digest)
        engine = make_engine(pictures, terms=terms)
        start = engine.resume(str(tmp_path)) if epoch > 1 else 0
        engine.run(save_dir=str(tmp_path), max_epoch=epoch, start_epoch=start)
        assert engine.history.earlier_code == ([] if epoch == 1 else ["first"])


def test_a_checkpoint_of_another_run_is_refused(pictures: Path, tmp_path: Path) -> None:
    make_engine(pictures).run(save_dir=str(tmp_path), max_epoch=1)
    other_terms = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    with pytest.raises(CCAFLError, match=r"with the parts \['model', 'prompts', 'proxy_classifier'\], but this run is"):
        other_terms.resume(str(tmp_path))
    model = torchreid.models.build_model("osnet_x0_25", num_classes=1, loss="triplet", pretrained=False)
    optimizer = torch.optim.Adam(model.parameters())
    terms = make_terms({"proxy_classifier": (0, -1)})
    other_model = torchreid.engine.ImageCCAFLEngine(make_manager(pictures), model, optimizer, terms=terms)
    with pytest.raises(CCAFLError, match=r"clip_tiny.*this run is .*OSNet"):
        other_model.resume(str(tmp_path))


def test_a_checkpoint_without_a_model_is_refused(pictures: Path, tmp_path: Path) -> None:
    terms = {"proxy_classifier": (0, -1)}
    make_engine(pictures, terms=make_terms(terms)).run(save_dir=str(tmp_path), max_epoch=1)
    manifest = tmp_path / "checkpoint-1.json"
    content = json.loads(manifest.read_text())
    del content["parts"]["model"], content["contents"], content["sha256"]
    manifest.write_text(json.dumps(content))
    for go_on in ("resume", "branch"):
        with pytest.raises(
            CCAFLError, match=r"^(model\.resume|ccafl\.branch_from): [^\n]*(no part 'model'|with the parts)"
        ):
            getattr(make_engine(pictures, terms=make_terms(terms)), go_on)(str(manifest))


def test_the_state_is_all_that_a_checkpoint_holds(pictures: Path, tmp_path: Path) -> None:
    """What is written is what the state says, and reading it into a fresh engine gives the same state."""
    engine = make_engine(pictures)
    engine.run(save_dir=str(tmp_path), max_epoch=3)
    _, parts = checkpoints.load(str(tmp_path))
    saved = engine.state.parts(3)
    assert {name: set(part) for name, part in parts.items()} == {name: set(part) for name, part in saved.items()}
    assert set(saved) == {"model", "prompts", "proxy_classifier"}
    assert set(saved["model"]) == {
        *("state_dict", "epoch", "rank1", "optimizer", "scheduler", "schedule", "scaler"),
    }
    again = make_engine(pictures)
    assert again.resume(str(tmp_path)) == 3
    assert_equal(weights(again), weights(engine))
    assert again.state.rank1 == engine.state.rank1 == engine.results["market1501"]["rank1"]
    history, first = again.history, engine.history
    assert (history.association, history.training_seconds) == (first.association, first.training_seconds)
    for name, optimizer in again.state.optimizers.items():
        ours, theirs = optimizer, engine.state.optimizers[name]
        if ours is not None:
            for mine, other in zip(ours.param_groups, theirs.param_groups, strict=True):
                for key in ("lr", "initial_lr", "weight_decay"):
                    assert mine.get(key) == other.get(key)


def following(pictures: Path, factor: float) -> Any:
    """An engine whose proxy classifier has the encoder's rate times a factor; 0: a rate of its own."""
    terms = make_terms(
        {"proxy_classifier": (0, -1), "icdl": (0, -1)}, proxy_classifier={"follow_encoder": factor, "lr": 7e-4}
    )
    return make_engine(pictures, terms=terms, keep=9)


def test_a_followed_rate_goes_on_behind_a_checkpoint(pictures: Path, tmp_path: Path) -> None:
    rates = []

    def watched(factor: float) -> Any:
        engine = following(pictures, factor)
        (classifier,) = (term for term in engine.terms if term.name == "proxy_classifier")
        step = classifier.step_own

        def step_own(batch: Any) -> None:
            rates.append((engine.optimizer.param_groups[-1]["lr"], classifier.optimizer.param_groups[-1]["lr"]))
            step(batch)

        classifier.step_own = step_own
        return engine

    whole = watched(2.0)
    whole.run(save_dir=str(tmp_path / "whole"), max_epoch=4)
    assert [rate for rate, _ in rates] == pytest.approx([1e-3] * 4 + [1e-4] * 4)  # two iterations an epoch
    assert [own for _, own in rates] == pytest.approx([2e-3] * 4 + [2e-4] * 4)
    watched(2.0).run(save_dir=str(tmp_path / "parts"), max_epoch=2)
    again = watched(2.0)
    again.run(save_dir=str(tmp_path / "parts"), max_epoch=4, start_epoch=again.resume(str(tmp_path / "parts")))
    assert rates[8:] == rates[:8]
    assert_equal(weights(again), weights(whole))


@pytest.mark.parametrize(
    ("first", "then", "difference"),
    [
        (2.0, 1.0, "factor 2.0 instead of 1.0"),
        (0.0, 1.0, "schedule none instead of FollowingRate"),
        (1.0, 0.0, "schedule FollowingRate instead of none, lr 0.001 instead of 0.0007"),
    ],
)
def test_a_run_goes_on_with_the_rate_of_its_classifier(
    pictures: Path, tmp_path: Path, first: float, then: float, difference: str
) -> None:
    following(pictures, first).run(save_dir=str(tmp_path), max_epoch=1)
    with pytest.raises(CCAFLError, match=f"the part 'proxy_classifier' of [^\n]* was trained with {difference}\\. To"):
        following(pictures, then).resume(str(tmp_path))
