"""An iteration on a device waits for it once, for the losses' numbers; shown without a device, see tests/waiting.py."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch

from ccafl_plugin.engine.ccafl_engine import ImageCCAFLEngine
from ccafl_plugin.engine.loss_report import LossReport
from ccafl_plugin.engine.stage1 import PromptStage, learn_prompts
from ccafl_plugin.terms import PAPER_TERMS
from tests.engine.small_runs import EVERY_TERM, make_engine, make_terms
from tests.waiting import NoWaiting, on_meta


def to_meta(engine: ImageCCAFLEngine) -> None:
    """Moves what an iteration computes with; the labels of the training set stay on the host."""
    engine.model.to("meta")
    engine.device = engine.encoder.transfer.device = torch.device("meta")
    engine.optimizer = torch.optim.Adam(engine.model.parameters())
    for term in engine.terms:
        on_meta(term)
        if term.owned() is not None:
            term.optimizer = torch.optim.Adam(term.owned()[0].parameters())


@pytest.mark.parametrize("accumulation", [1, 2])
def test_one_wait_an_iteration(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulation: int
) -> None:
    terms = make_terms({**EVERY_TERM, "icdl": (0, -1)})  # all of them in the last epoch
    engine = make_engine(pictures, accumulation=accumulation, terms=terms)
    engine.run(save_dir=str(tmp_path), max_epoch=3)
    assert {term.name for term in engine.terms} == set(PAPER_TERMS)
    engine.active_terms = engine.terms
    engine.set_model_mode("train")
    to_meta(engine)
    waits = []
    monkeypatch.setattr(LossReport, "read", lambda report: waits.append(report._names) or {"loss": 0.0})
    monkeypatch.setattr(torch, "autocast", lambda device_type, **settings: contextlib.nullcontext())  # knows no meta
    with NoWaiting():
        engine.forward_backward(next(iter(engine.train_loader)))
    assert [{name.partition("/")[0] for name in names} for names in waits] == [set(PAPER_TERMS)]


@pytest.mark.parametrize("in_cameras", [True, False])
def test_no_wait_in_an_epoch_of_stage_1(pictures: Path, in_cameras: bool) -> None:
    """Batches are grouped on the host; only the report at an epoch's end needs a number."""
    text = make_engine(pictures).text
    prompts, encoder = text.prompts.learner.to("meta"), text.encoder.to("meta")
    count = text.labels.num_images
    embeddings = torch.zeros(count, encoder.embed_dim, device="meta")
    proxies, cameras = text.labels.proxy_of_image, text.labels.camera_of_image
    with NoWaiting():
        stage = PromptStage(epochs=2, batch_size=16)
        learn_prompts(prompts, encoder, embeddings, proxies, cameras if in_cameras else None, stage, seed=1)
    with pytest.raises((RuntimeError, NotImplementedError), match=r"(?i)meta"), NoWaiting():
        learn_prompts(prompts, encoder, embeddings, proxies, None, stage, seed=1, report=lambda *_: None)


def test_the_report_is_one_transfer() -> None:
    parts = {
        "one": {"a": torch.tensor(1.5), "b": torch.tensor(2.0, dtype=torch.float64)},
        "two": {"c": torch.tensor(3)},
    }
    report = LossReport(parts, [torch.tensor(4.0), torch.tensor(0.5)])
    assert report.read() == {"loss": 4.5, "one/a": 1.5, "one/b": 2.0, "two/c": 3.0}
    assert all(type(number) is float for number in report.read().values())
    on_device = {"one": {"a": torch.zeros((), device="meta")}}
    with NoWaiting():
        sent = LossReport(on_device, [])
    with pytest.raises((RuntimeError, NotImplementedError), match=r"(?i)meta"):
        sent.read()
