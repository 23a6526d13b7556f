"""The engine as a whole: what is trained when, what is logged, and which labels are read."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ccafl_plugin.engine import NonFiniteLoss, PromptStage
from ccafl_plugin.options import options
from ccafl_plugin.terms import Term
from tests.engine.small_runs import (
    EVERY_TERM,
    HEIGHT,
    WIDTH,
    Recorder,
    assert_equal,
    make_engine,
    make_manager,
    make_terms,
    weights,
    write_pictures,
)


def test_terms_are_active_in_their_windows(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures)
    record = Recorder(engine)
    engine.run(save_dir=str(tmp_path), max_epoch=3, eval_freq=1)
    assert len(record.reports) == 3 * 2
    for iteration, report in enumerate(record.reports):
        active = {name for name, (first, last) in EVERY_TERM.items() if first <= iteration // 2 <= (last % 100)}
        assert {key.partition("/")[0] for key in report} == active | {"loss"}
        totals = {key.partition("/")[0] for key in report if key.endswith("/total")}  # their parts are shown besides
        left_out = totals | {"loss", "proxy_classifier"}
        encoder = sum(x for key, x in report.items() if key.endswith("/total") or key.partition("/")[0] not in left_out)
        assert report["loss"] == pytest.approx(encoder, rel=1e-5)
    results = engine.results["market1501"]
    assert list(results) == ["mAP", "rank1", "rank5", "rank10", "rank20", "mINP"]
    assert 0 < results["mAP"] <= 1
    assert 0 <= results["rank1"] <= results["rank5"] <= results["rank10"] <= results["rank20"] <= 1


def test_results_are_what_is_printed(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    engine = make_engine(pictures)
    for settings in ({}, {"rerank": True}, {"dist_metric": "cosine"}):
        capsys.readouterr()
        engine.run(save_dir=str(tmp_path), test_only=True, ranks=[1, 2, 3, 36, 37], **settings)
        printed = capsys.readouterr().out
        results = engine.results["market1501"]
        assert list(results) == ["mAP", "rank1", "rank2", "rank3", "rank36", "mINP"]
        assert all(type(value) is float for value in results.values())
        expected = [f"mAP: {results['mAP']:.1%}", "CMC curve"]
        expected += [f"Rank-{rank:<3}: {results[f'rank{rank}']:.1%}" for rank in (1, 2, 3, 36)]
        expected += [f"mINP: {results['mINP']:.1%}", "mAP by camera of the query (rows) and of the gallery (columns)"]
        assert "\n".join(expected) in printed
        pairs = engine.camera_pairs["market1501"]
        assert re.search(rf"\n *0 +- +{pairs['mAP'][0][1]:.1%} +{pairs['mAP'][0][2]:.1%}\n", printed)


def test_what_is_written_for_tensorboard(pictures: Path, tmp_path: Path) -> None:
    make_engine(pictures).run(save_dir=str(tmp_path), max_epoch=3)
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = set(events.Tags()["scalars"])
    parts = {
        "proxy_classifier/classification",
        "icdl/centroid",
        "icdl/instance",
        "icdl/centroid_triplet",
        "icdl/batch_triplet",
        "icdl/alignment",
        "icdl/total",
        "inter/contrast",
        "inter/triplet",
        "inter/total",
        "alignment/text",
        "ical/adversarial",
    }
    expected = {f"Train/{part}" for part in parts} | {"Train/loss", "Train/lr", "Stage1/loss", "Stage1/lr"}
    expected |= {f"Association/{name}" for name in ("pseudo_identities", "proxies", "precision", "recall")}
    expected |= {"Learning_rate/biases", "Learning_rate/weights", "Test/market1501/mAP"}
    assert expected <= tags
    assert [event.step for event in events.Scalars("Association/precision")] == [1, 2]
    rates = [event.value for event in events.Scalars("Learning_rate/weights")]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4])
    assert [event.value for event in events.Scalars("Learning_rate/biases")] == pytest.approx([2 * r for r in rates])


def test_prompts_are_as_long_as_the_option_says(pictures: Path) -> None:
    with options.override(prompt_length=2):
        engine = make_engine(pictures)
    assert engine.text.prompts.learner.context.shape[1] == 2


def test_stage_1_changes_prompts_and_nothing_else(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures)
    text = {name: tensor.clone() for name, tensor in engine.text.encoder.state_dict().items()}
    before = weights(engine)
    engine.run(save_dir=str(tmp_path), max_epoch=0)
    assert_equal(weights(engine), before)  # no epoch, no term with text: nothing to learn
    engine.text.learn(engine.epoch_start.images, engine.seed)
    after = weights(engine)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"prompts.learner.context", "prompts.features", "prompts.learned"}
    assert_equal(dict(engine.text.encoder.state_dict()), text)
    assert all(parameter.grad is None for parameter in engine.model.parameters())
    moved = (after["prompts.learner.context"] != before["prompts.learner.context"]).flatten(1).any(1)
    assert moved.all()  # every proxy has images, so every prompt learns


def test_full_supervision_reads_true_identities(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(
        pictures,
        supervision="full",
        stage1=PromptStage(epochs=1, scope="person"),
        terms=make_terms({"icdl": (0, 0), "inter": (0, -1), "alignment": (0, -1)}),
    )
    assert engine.text.prompts.features.shape[0] == 6
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    pseudo = {term.name: term for term in engine.terms}["inter"].pseudo_of_proxy
    assert torch.equal(pseudo, engine.labels.person_of_proxy)


def test_without_any_pseudo_identity_terms_pause(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(
        pictures, association_options={"rate": 0.0}, terms=make_terms({"proxy_classifier": (0, -1), "inter": (0, -1)})
    )
    before = weights(engine)
    record = Recorder(engine)
    with pytest.warns(UserWarning, match=r"No pseudo identity in epoch 0\. Inactive in this epoch: inter"):
        engine.run(save_dir=str(tmp_path), max_epoch=1)
    assert all(set(report) == {"loss", "proxy_classifier/classification"} for report in record.reports)
    after = weights(engine)
    assert not torch.equal(after["proxy_classifier.weight"], before["proxy_classifier.weight"])
    assert torch.equal(after["model.neck.weight"], before["model.neck.weight"])


def test_an_epoch_without_any_loss_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, association_options={"rate": 0.0}, terms=make_terms({"inter": (0, -1)}))
    before = weights(engine)
    record = Recorder(engine)
    with pytest.warns(UserWarning, match=r"No pseudo identity in epoch 0\. Inactive in this epoch: inter"):
        engine.run(save_dir=str(tmp_path), max_epoch=1)
    assert record.reports == [{"loss": 0.0}] * 2
    after = weights(engine)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name, _ in engine.model.named_parameters()} <= {name.removeprefix("model.") for name in same}


def test_tests_run_where_the_model_is(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchreid would move test images to the first GPU, if there is one, wherever the model is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    engine = make_engine(pictures)
    assert not engine.use_gpu
    engine.extract_features(torch.rand(2, 3, 64, 32))


class ExplodingTerm(Term):
    name = "exploding"

    def loss(self, batch: Any) -> dict[str, torch.Tensor]:
        return {"part": batch.features.sum() * math.inf}


def test_a_non_finite_loss_names_term_and_iteration(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, terms=[*make_terms({"icdl": (0, -1)}), ExplodingTerm(first_epoch=1)])
    with pytest.raises(
        NonFiniteLoss, match=r"exploding/part is (nan|-?inf) in epoch 1, iteration 0\. The last checkpoint"
    ):
        engine.run(save_dir=str(tmp_path), max_epoch=3)
    assert make_engine(pictures, terms=make_terms({"icdl": (0, -1)})).resume(str(tmp_path)) == 1


def test_torchreids_backbones_and_losses_are_terms_too(pictures: Path, tmp_path: Path) -> None:
    manager = make_manager(pictures)
    model = torchreid.models.build_model("osnet_x0_25", num_classes=18, loss="triplet", pretrained=False)
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-3)
    engine = torchreid.engine.ImageCCAFLEngine(
        manager,
        model,
        optimizer,
        terms=make_terms(
            {"softmax": (0, -1), "triplet": (0, -1), "proxy_classifier": (0, -1), "icdl": (0, -1), "ical": (0, -1)},
            icdl={"weight_alignment": 0.0},
        ),
    )
    record = Recorder(engine)
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    assert {"softmax/cross_entropy", "triplet/batch_hard", "ical/adversarial"} <= set(record.reports[-1])


def test_overfitting_eight_identities_under_full_supervision(tmp_path: Path) -> None:
    """Retrieval among the training images themselves ends at Rank-1 100 %."""
    root = write_pictures(tmp_path / "data", identities=8)
    manager = make_manager(root, height=HEIGHT, width=WIDTH, batch_size_train=16, transforms=[])
    manager.train_loader.sampler.iters_per_epoch = 15
    terms = make_terms({"inter": (0, -1)})
    engine = make_engine(root, manager, supervision="full", terms=terms)
    tuples = manager.train_loader.dataset.train
    for part, camera_of_part in (("query", {0}), ("gallery", {1, 2})):
        loader = manager.test_loader["market1501"][part]
        loader.dataset.data[:] = [item for item in tuples if item[2] in camera_of_part]
    engine.run(save_dir=str(tmp_path / "log"), max_epoch=5)
    assert engine.results["market1501"]["rank1"] == 1.0
