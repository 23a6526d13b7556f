"""Runs that leave images out, or relabel them, because their features contradict their label."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ccafl_plugin.data.label_agreement import Doubts
from ccafl_plugin.data.label_noise import LabelNoise
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine import label_filter as module
from ccafl_plugin.engine.label_filter import LabelFilter
from ccafl_plugin.integration.data_manager import damage_training_set
from tests.engine.small_runs import (
    CAMERAS,
    IDENTITIES,
    IMAGES,
    Recorder,
    assert_equal,
    make_engine,
    make_manager,
    weights,
)

EVERY = CAMERAS * IDENTITIES * IMAGES
LISTED = torch.arange(CAMERAS * IDENTITIES).repeat_interleave(IMAGES)
"""The listed proxy of every image, in the order of paths."""

Judge = Callable[[torch.Tensor], None]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Sets the labels, in place of a judgement of untrained features; -1: left out."""

    def set_labels(judged: torch.Tensor) -> None:
        def doubtful_labels(features: torch.Tensor, proxies: torch.Tensor, camera_of_proxy: torch.Tensor) -> Doubts:
            assert features.shape[0] == EVERY and torch.equal(proxies, LISTED)
            assert len(camera_of_proxy) == CAMERAS * IDENTITIES
            return Doubts(judged == LISTED, float((judged != LISTED).float().mean()))

        monkeypatch.setattr(module, "doubtful_labels", doubtful_labels)
        monkeypatch.setattr(module, "repaired_labels", lambda *_: judged)

    return set_labels


SECOND_LEFT_OUT = torch.where(torch.arange(EVERY) % IMAGES == 1, -1, LISTED)
"""The second image of each proxy is left out."""

SECOND_MOVED = torch.where(torch.arange(EVERY) % IMAGES == 1, LISTED // IDENTITIES * IDENTITIES, SECOND_LEFT_OUT)
"""The second image of each proxy gets the label of the first proxy of its camera."""


def number_in_proxy(path: str) -> int:
    return int(re.search(r"s1_(\d+)_", path)[1])


@pytest.mark.parametrize("own_sampler", [True, False])
@pytest.mark.parametrize("moved", [False, True])
def test_terms_see_the_judged_labels(
    moved: bool, own_sampler: bool, judge: Judge, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    judged = SECOND_MOVED if moved else SECOND_LEFT_OUT
    judge(judged)
    engine = make_engine(pictures, robust_labels=True)
    if not own_sampler:
        engine.label_filter._sampler = None
    record = Recorder(engine)
    sizes, states, seconds = [], [], 0
    make_batch = engine.make_batch

    def watched(data: dict) -> object:
        nonlocal seconds
        batch = make_batch(data)
        listed = engine.labels.proxies_of(data["dsetid"], data["camid"], data["pid"])
        is_second = torch.tensor([number_in_proxy(path) == 1 for path in data["impath"]])
        first_of_camera = engine.labels.offsets[engine.labels.camera_of_proxy[listed]]
        expected = torch.where(is_second, first_of_camera, listed) if moved else listed[~is_second]
        assert torch.equal(batch.proxies, expected)
        assert len(batch.features) == len(batch.embeddings) == len(batch.classes) == len(expected)
        assert all(len(raw) == len(expected) for raw in batch.raw)
        sizes.append(len(expected))
        seconds += int(is_second.sum())
        if own_sampler:  # two images each of four proxies, as judged
            assert batch.proxies.unique(return_counts=True)[1].tolist() == [2, 2, 2, 2]
        return batch

    refresh = engine.terms[0].refresh
    engine.terms[0].refresh = lambda state: (states.append(state), refresh(state))
    engine.make_batch = watched
    engine.run(save_dir=str(tmp_path), max_epoch=3)
    assert len(record.reports) == len(sizes) == 6
    assert (min(sizes) < 8) == (not own_sampler and not moved)
    assert (seconds > 0) == (moved or not own_sampler)
    for state in states:
        assert torch.equal(state.proxies, judged[judged >= 0])
        assert len(state.features) == len(state.proxies)
    printed = capsys.readouterr().out
    numbers = (0, 15) if moved else (18, 0)  # the second image of three first proxies stays where it is
    words = "{} of 54 images left out, {} relabelled".format(*numbers)
    said = re.findall(rf"=> (.*): {words} \(by the features, [0-9.]+ % of the labels are wrong\)", printed)
    assert said == ["Stage 1", "Epoch 1", "Epoch 2", "Epoch 3"]
    events = EventAccumulator(str(tmp_path)).Reload()
    assert {"Labels/left_out", "Labels/relabelled", "Labels/wrong_share"} <= set(events.Tags()["scalars"])


def test_a_resumed_run_is_the_unbroken_one(judge: Judge, pictures: Path, tmp_path: Path) -> None:
    judge(SECOND_MOVED)
    whole = make_engine(pictures, robust_labels=True)
    whole.run(save_dir=str(tmp_path), max_epoch=2)
    again = make_engine(pictures, robust_labels=True)
    again.run(save_dir=str(tmp_path), max_epoch=2, start_epoch=again.resume(str(tmp_path / "checkpoint-1.json")))
    assert_equal(weights(whole), weights(again))


def test_features_that_contradict_no_label_change_nothing(judge: Judge, pictures: Path, tmp_path: Path) -> None:
    judge(LISTED)
    results = []
    for robust in (False, True):
        engine = make_engine(pictures, robust_labels=robust)
        engine.run(save_dir=str(tmp_path / str(robust)), max_epoch=2)
        results.append(weights(engine))
    assert_equal(*results)


def test_a_batch_of_which_nothing_is_used(
    monkeypatch: pytest.MonkeyPatch, judge: Judge, pictures: Path, tmp_path: Path
) -> None:
    """Only the first image of each proxy is used, and all batches are of others: nothing is learned, nothing fails."""
    judge(torch.where(torch.arange(EVERY) % IMAGES == 0, LISTED, -1))
    engine = make_engine(pictures, robust_labels=True)
    record = Recorder(engine)
    nothing = torch.zeros(0, dtype=torch.int64)
    monkeypatch.setattr(LabelFilter, "of_batch", lambda *_: (nothing, nothing))
    engine.run(save_dir=str(tmp_path), max_epoch=3)
    assert len(record.reports) == 6
    assert all(value == 0 for report in record.reports for value in report.values())


def small_filter() -> LabelFilter:
    """Proxies 0 (images a, b), 1 (c) and 2 (c, in the other camera)."""
    train = [("a", 0, 0, 0), ("b", 0, 0, 0), ("c", 1, 0, 0), ("c", 1, 1, 0)]
    return LabelFilter(["a", "b", "c", "c"], ProxyLabels.from_tuples(train), torch.device("cpu"))


def test_of_batch() -> None:
    found = small_filter()
    rows, proxies = found.of_batch(["c", "a"], torch.tensor([2, 0]))  # nothing is changed before it has looked
    assert rows is None and proxies.tolist() == [2, 0]
    found._changed = {("c", 1): -1, ("b", 0): 1}
    rows, proxies = found.of_batch(["a", "c", "c", "b"], torch.tensor([0, 1, 2, 0]))
    assert rows.tolist() == [0, 2, 3] and proxies.tolist() == [0, 2, 1]
    rows, proxies = found.of_batch(["b", "c"], torch.tensor([0, 2]))
    assert rows is None and proxies.tolist() == [1, 2]
    rows, proxies = found.of_batch(["c"], torch.tensor([1]))
    assert rows.tolist() == proxies.tolist() == []


def test_decisions_against_right_labels() -> None:
    """Eight images: 1, 2 and 7 have wrong labels, 7's person has no proxy left; 1, 2, 3 and 7 are not trusted."""
    listed, right = torch.tensor([0, 1, 1, 1, 0, 0, 2, 2]), torch.tensor([0, 0, 0, 1, 0, 0, 2, -1])
    trusted = torch.tensor([True, False, False, False, True, True, True, False])
    judged = torch.tensor([0, 0, 2, -1, 0, 0, 2, -1])
    assert module.how_right(listed, judged, trusted, right) == (
        "in truth 37.5 % of the labels are wrong, 75.0 % of the 4 that are not trusted, and 16.7 % of those that are "
        "used; 50.0 % of the new labels are right"
    )
    assert module.how_right(right, right, right >= 0, right).endswith("used; none of the new labels are right")


def test_labels_that_were_changed_on_purpose_are_compared(pictures: Path, capsys: pytest.CaptureFixture) -> None:
    manager = make_manager(pictures)
    sampler = {"train_sampler": "ProxySampler", "batch_size": 8, "num_instances": 2, "num_cams": CAMERAS}
    damage_training_set(manager, LabelNoise(wrong=0.34), 1, {**sampler, "num_datasets": 1})
    engine = make_engine(pictures, manager, robust_labels=True)
    engine.label_filter.look(engine.epoch_start.features(), "Epoch 1")
    assert "\n   in truth 33.3 % of the labels are wrong, " in capsys.readouterr().out


def test_poor_features_are_a_warning(capsys: pytest.CaptureFixture) -> None:
    rng = torch.Generator().manual_seed(0)
    labels = ProxyLabels.from_tuples([(f"{image:03d}", image // 3, 0, 0) for image in range(120)])
    features = torch.nn.functional.normalize(torch.randn(120, 16, generator=rng), dim=1)
    found = LabelFilter([f"{image:03d}" for image in range(120)], labels, torch.device("cpu"))
    with pytest.warns(UserWarning, match=r"^Epoch 1: features and labels contradict each other in \d+ % of the images"):
        judged = found.look(features, "Epoch 1")
    assert bool(judged.kept.all())
    assert torch.equal(judged.proxies, labels.proxy_of_image)
    assert "Epoch 1: 0 of 120 images left out, 0 relabelled" in capsys.readouterr().out
