"""Runs that leave images out whose features contradict their label."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ccafl_plugin.data.label_agreement import Doubts
from ccafl_plugin.engine import label_filter as module
from ccafl_plugin.engine.label_filter import LabelFilter
from tests.engine.small_runs import CAMERAS, IDENTITIES, IMAGES, Recorder, assert_equal, make_engine, weights

EVERY = CAMERAS * IDENTITIES * IMAGES


@pytest.fixture
def second_images_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a judgement of untrained features: the second image of each proxy is left out."""

    def doubtful_labels(features: torch.Tensor, proxies: torch.Tensor, camera_of_proxy: torch.Tensor) -> Doubts:
        assert features.shape[0] == len(proxies) == EVERY
        assert len(camera_of_proxy) == CAMERAS * IDENTITIES
        return Doubts(torch.arange(EVERY) % IMAGES != 1, 1 / 3)

    monkeypatch.setattr(module, "doubtful_labels", doubtful_labels)


def test_what_is_left_out_reaches_no_term(
    second_images_left_out: None, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    engine = make_engine(pictures, robust_labels=True)
    record = Recorder(engine)
    sizes, states = [], []
    make_batch = engine.make_batch

    def watched(data: dict) -> object:
        batch = make_batch(data)
        second = [int(re.search(r"s1_(\d+)_", path)[1]) == 1 for path in data["impath"]]
        kept = [row for row, left_out in enumerate(second) if not left_out]
        expected = engine.labels.proxies_of(data["dsetid"], data["camid"], data["pid"])[kept]
        assert torch.equal(batch.proxies, expected)
        assert len(batch.features) == len(batch.embeddings) == len(batch.classes) == len(kept)
        assert all(len(raw) == len(kept) for raw in batch.raw)
        sizes.append(len(kept))
        return batch

    refresh = engine.terms[0].refresh
    engine.terms[0].refresh = lambda state: (states.append(state), refresh(state))
    engine.make_batch = watched
    engine.run(save_dir=str(tmp_path), max_epoch=3)
    assert len(record.reports) == len(sizes) == 6
    assert min(sizes) < 8
    for state in states:
        assert len(state.features) == len(state.proxies) == EVERY * 2 // 3
        assert torch.equal(state.proxies, torch.arange(CAMERAS * IDENTITIES).repeat_interleave(IMAGES - 1))
    printed = capsys.readouterr().out
    said = re.findall(r"=> (.*): 18 of 54 images left out \(by the features, 33.3 % of the labels are wrong\)", printed)
    assert said == ["Stage 1", "Epoch 1", "Epoch 2", "Epoch 3"]
    events = EventAccumulator(str(tmp_path)).Reload()
    assert {"Labels/left_out", "Labels/wrong_share"} <= set(events.Tags()["scalars"])


def test_a_resumed_run_is_the_unbroken_one(second_images_left_out: None, pictures: Path, tmp_path: Path) -> None:
    whole = make_engine(pictures, robust_labels=True)
    whole.run(save_dir=str(tmp_path), max_epoch=2)
    again = make_engine(pictures, robust_labels=True)
    again.run(save_dir=str(tmp_path), max_epoch=2, start_epoch=again.resume(str(tmp_path / "checkpoint-1.json")))
    assert_equal(weights(whole), weights(again))


def test_features_that_contradict_no_label_change_nothing(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    everything = Doubts(torch.ones(EVERY, dtype=torch.bool), 0.0)
    monkeypatch.setattr(module, "doubtful_labels", lambda *_: everything)
    results = []
    for robust in (False, True):
        engine = make_engine(pictures, robust_labels=robust)
        engine.run(save_dir=str(tmp_path / str(robust)), max_epoch=2)
        results.append(weights(engine))
    assert_equal(*results)


def test_a_batch_of_which_nothing_is_used(monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path) -> None:
    """Only the first image of each proxy is used, and all batches are of others: nothing is learned, nothing fails."""
    kept = torch.arange(EVERY) % IMAGES == 0
    monkeypatch.setattr(module, "doubtful_labels", lambda *_: Doubts(kept, 0.4))
    engine = make_engine(pictures, robust_labels=True)
    record = Recorder(engine)
    monkeypatch.setattr(LabelFilter, "rows", lambda *_: torch.zeros(0, dtype=torch.int64))
    engine.run(save_dir=str(tmp_path), max_epoch=3)
    assert len(record.reports) == 6
    assert all(value == 0 for report in record.reports for value in report.values())


def test_rows() -> None:
    found = LabelFilter(["a", "b", "c", "c"], torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 1]))
    assert found.rows(["c", "a"], torch.tensor([2, 0])) is None  # nothing is left out before it has looked
    found._left_out = frozenset({("c", 1), ("b", 0)})
    assert found.rows(["a", "c", "c", "b"], torch.tensor([0, 1, 2, 0])).tolist() == [0, 2]
    assert found.rows(["a", "c"], torch.tensor([0, 2])) is None


def test_poor_features_are_a_warning(capsys: pytest.CaptureFixture) -> None:
    rng = torch.Generator().manual_seed(0)
    proxies = torch.arange(40).repeat_interleave(3)
    features = torch.nn.functional.normalize(torch.randn(120, 16, generator=rng), dim=1)
    found = LabelFilter([str(i) for i in range(120)], proxies, torch.zeros(40, dtype=torch.int64))
    with pytest.warns(UserWarning, match=r"^Epoch 1: features and labels contradict each other in \d+ % of the images"):
        kept = found.look(features, "Epoch 1")
    assert bool(kept.all())
    assert "Epoch 1: 0 of 120 images left out" in capsys.readouterr().out
