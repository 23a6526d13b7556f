"""Infinite and NaN numbers: bad steps are skipped, nothing bad is saved, and nothing bad is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin.engine import ImageCCAFLEngine, NonFiniteLoss, checkpoints
from ccafl_plugin.engine.gradient_check import GradientCheck, first_not_finite_gradient, fused_step, total_norm, zero_if
from ccafl_plugin.engine.loss_report import LossReport
from ccafl_plugin.engine.not_finite import NonFiniteGradient, NonFiniteState
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.terms import Term
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import assert_equal, make_engine, make_manager, make_terms, weights
from tests.waiting import NoWaiting

TERMS = {"proxy_classifier": (0, -1), "icdl": (0, -1)}
OFF = torch.amp.GradScaler("cpu", enabled=False)


def no_text() -> list[Term]:
    """Terms without stage 1."""
    return make_terms(TERMS, icdl={"weight_alignment": 0.0})


def engine_with_bad_gradients(pictures: Path, bad: Callable[[int], bool], **settings: Any) -> ImageCCAFLEngine:
    """Its gradient by GeM's exponent is NaN in the iterations, counted over the run, that ``bad`` names."""
    manager = make_manager(pictures)
    manager.train_loader.batch_sampler.sampler.iters_per_epoch = 6
    engine = make_engine(pictures, manager, terms=no_text(), **settings)
    seen = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        seen.append(True)
        return gradient * float("nan") if bad(len(seen) - 1) else gradient

    dict(engine.model.named_parameters())[_exponent(engine)].register_hook(spoil)
    return engine


def _exponent(engine: ImageCCAFLEngine) -> str:
    return next(name for name, _ in engine.model.named_parameters() if name.rpartition(".")[2] == "p")


def test_a_bad_step_is_skipped_and_counted(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = engine_with_bad_gradients(pictures, lambda step: step in (2, 3, 9))
    engine.run(save_dir=str(tmp_path), max_epoch=2)
    assert all(bool(tensor.isfinite().all()) for tensor in weights(engine).values())
    out = capsys.readouterr().out
    assert "=> Epoch 1: 2 of 6 steps were skipped, because a gradient was not finite\n" in out
    assert "=> Epoch 2: 1 of 6 steps were skipped" in out
    counted = [{"epoch": 0, "skipped": 2}, {"epoch": 1, "skipped": 1}]
    assert engine.history.skipped_steps == counted
    assert json.loads((tmp_path / "checkpoint-2.json").read_text())["history"]["skipped_steps"] == counted
    steps = engine.optimizer.state[next(engine.model.parameters())]["step"]
    assert int(steps) == 2 * 6 - 3


@pytest.mark.parametrize(("allowed", "bad_from"), [(2, 8), (3, 5)])  # the limit is met in an epoch, and at its end
def test_too_many_bad_steps_in_a_row_stop_the_run(pictures: Path, tmp_path: Path, allowed: int, bad_from: int) -> None:
    engine = engine_with_bad_gradients(pictures, lambda step: step >= bad_from, max_skipped=allowed)
    begins = (
        rf"^{allowed + 1} steps in a row were skipped, up to epoch 1, iteration \d, because gradients are not finite;"
    )
    names = rf" the first is that of '{re.escape(_exponent(engine))}'\. [^\n]*$"
    with pytest.raises(NonFiniteGradient, match=begins + names):
        engine.run(save_dir=str(tmp_path), max_epoch=2)
    assert checkpoints.load(tmp_path)[0]["epoch"] == 1
    assert [path.name for path in checkpoints.manifests(tmp_path)] == ["checkpoint-1.json"]


def test_infinite_weights_are_not_saved(pictures: Path, tmp_path: Path) -> None:
    """A rate that is infinite in the very last iteration; one checkpoint is kept, as in suites."""
    engine = make_engine(pictures, terms=no_text(), keep=1)
    step, calls = engine.gradients.step, []

    def last_step_is_infinite(optimizer: Any, scaler: Any) -> None:
        calls.append(True)
        if len(calls) == 4:
            for group in optimizer.param_groups:
                group["lr"] = float("inf")
        step(optimizer, scaler)

    engine.gradients.step = last_step_is_infinite
    with pytest.raises(NonFiniteState, match=r"^model/\S+ is not finite after 2 epochs, so no checkpoint was"):
        engine.run(save_dir=str(tmp_path), max_epoch=2)
    manifest, parts = checkpoints.load(tmp_path)
    assert manifest["epoch"] == 1
    assert all(bool(t.isfinite().all()) for t in parts["model"]["state_dict"].values())
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"model.pth.tar-1"}


def test_infinite_moments_are_not_saved(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, terms=no_text())
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    engine.optimizer.state[next(engine.model.parameters())]["exp_avg"].view(-1)[0] = float("nan")
    with pytest.raises(NonFiniteState, match=r"^model/optimizer exp_avg of parameter \d+ is not finite after 2 epochs"):
        engine.save_model(1, 0.0, str(tmp_path))
    assert checkpoints.load(tmp_path)[0]["epoch"] == 1


def test_a_bad_loss_still_stops_at_once(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, terms=no_text())
    icdl = next(term for term in engine.terms if term.name == "icdl")
    icdl.weight = float("nan")  # behind the check of arguments
    icdl.loss = lambda batch: {"total": batch.features.sum() * float("nan")}
    with pytest.raises(NonFiniteLoss, match=r"icdl/total is nan in epoch 0, iteration 0"):
        engine.run(save_dir=str(tmp_path), max_epoch=1)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_terms_of_a_program_have_ranges_too(pictures: Path, number: float) -> None:
    for name, argument in (("icdl", "weight"), ("icdl", "margin"), ("inter", "margin")):
        terms = make_terms({**TERMS, "inter": (0, -1)}, **{name: {argument: number}})
        with pytest.raises(CCAFLError, match=rf"^{name}\.{argument}: (nan|inf) is out of range, it must be finite\.$"):
            make_engine(pictures, terms=terms)


def test_weights_that_are_not_finite_are_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = make_engine(pictures, terms=no_text())
    engine.run(save_dir=str(tmp_path), max_epoch=2)
    manifest, parts = checkpoints.load(tmp_path)
    name = _exponent(engine)
    parts["model"]["state_dict"][name].fill_(float("nan"))
    facts = {key: manifest[key] for key in ("architecture", "effective_settings", "history")}
    checkpoints.save(tmp_path, parts, facts, keep=5)  # as version 0.1.0 would have
    file = str(tmp_path / "model" / "model.pth.tar-2")
    expected = rf"^model\.\w+: '[^\n]*tar-2' is of no use: its tensor '{re.escape(name)}' holds numbers that are"
    with pytest.raises(CCAFLError, match=expected):
        make_engine(pictures, terms=no_text()).resume(file)
    with pytest.raises(CCAFLError, match=expected):
        load_weights(make_engine(pictures).model, file)
    with pytest.raises(CCAFLError, match=expected.replace("model", "load_pretrained_weights", 1).replace(r"\.\w+", "")):
        torchreid.utils.load_pretrained_weights(make_engine(pictures).model, file)
    capsys.readouterr()
    assert make_engine(pictures, terms=no_text()).resume(str(tmp_path)) == 1
    assert "The checkpoint before it is used: checkpoint-1.json." in capsys.readouterr().err


def test_the_check_changes_no_bit(pictures: Path, tmp_path: Path) -> None:
    checked, plain = (make_engine(pictures, terms=no_text()) for _ in range(2))
    plain.gradients.step = lambda optimizer, scaler: optimizer.step()
    for name, engine in (("checked", checked), ("plain", plain)):
        engine.run(save_dir=str(tmp_path / name), max_epoch=1)
    assert_equal(weights(checked), weights(plain))


def layer() -> tuple[nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Linear(3, 2), torch.randn(4, 3)


@pytest.mark.parametrize("kind", ["host", "scaler", "scaler and fused"])
def test_the_verdict_is_the_optimizers(kind: str) -> None:
    """A good step, a bad one, a good one: the bad one moves nothing."""
    model, images = layer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=kind.endswith("fused"))
    scaler = OFF if kind == "host" else torch.amp.GradScaler("cpu", init_scale=4.0)
    check, verdicts, moved = GradientCheck(model, 20), [], []
    for factor in (1.0, float("inf"), 1.0):
        before = model.weight.detach().clone()
        optimizer.zero_grad()
        scaler.scale(model(images).square().mean()).backward()
        model.weight.grad.mul_(factor)
        check.step(optimizer, scaler)
        verdicts.append(bool(check.verdict > 0))
        moved.append(not torch.equal(before, model.weight))
        check.take(verdicts[-1], 0, 0)
    assert verdicts == [False, True, False]
    assert moved == [True, False, True]
    assert check.settle(0, 0) == 1 and check.settle(0, 0) == 0
    assert bool(model.weight.isfinite().all())


@pytest.mark.parametrize("bad", [0.0, 1.0])
def test_a_fused_step_is_skipped_on_the_device(bad: float) -> None:
    for make in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        model, images = layer()
        optimizer = make(model.parameters(), lr=0.1, fused=True)
        model(images).square().mean().backward()
        before = model.weight.detach().clone()
        fused_step(optimizer, torch.tensor(bad))
        assert torch.equal(before, model.weight) == bool(bad)
        assert not hasattr(optimizer, "found_inf") and not hasattr(optimizer, "grad_scale")


def test_other_optimizers_step_with_zeros() -> None:
    gradients = [torch.tensor([1.0, float("nan")]), torch.tensor([2.0])]
    zero_if(torch.tensor(False), gradients)
    assert gradients[1].item() == 2.0 and gradients[0][0].item() == 1.0
    zero_if(torch.tensor(True), gradients)
    assert [gradient.tolist() for gradient in gradients] == [[0.0, 0.0], [0.0]]


def test_norms_and_names() -> None:
    gradients = [torch.tensor([3.0]), torch.tensor([[4.0]])]
    assert total_norm(gradients).item() == 5.0
    assert not bool(total_norm([*gradients, torch.tensor([float("nan")])]).isfinite())
    model, _ = layer()
    assert first_not_finite_gradient(model).startswith("none by itself")
    model.bias.grad = torch.tensor([0.0, float("inf")])
    assert first_not_finite_gradient(model) == "'bias'"


def test_the_verdict_comes_with_the_losses() -> None:
    """No transfer of its own, and none that the host waits for."""
    parts = {"one": {"a": torch.tensor(1.5)}}
    for verdict, expected in ((None, None), (torch.zeros(()), False), (torch.ones(()), True)):
        report = LossReport(parts, [torch.tensor(4.0)], verdict)
        assert report.read() == {"loss": 4.0, "one/a": 1.5}
        assert report.skipped is expected
    on_device = {"one": {"a": torch.zeros((), device="meta")}}
    with NoWaiting():
        report = LossReport(on_device, [], torch.zeros((), device="meta"))
    assert report._values.shape == (2,)
