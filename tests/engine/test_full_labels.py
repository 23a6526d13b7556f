"""Full supervision in baselines: ICAL beside torchreid's losses, and CLIP-ReID's two stages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

from ccafl_plugin.engine import ImageCCAFLEngine, PromptStage
from ccafl_plugin.engine.stage1 import learn_prompts
from ccafl_plugin.losses import ICALLoss
from ccafl_plugin.options import options
from ccafl_plugin.terms import Term
from tests.engine.small_runs import CAMERAS, HEIGHT, IDENTITIES, WIDTH, Recorder, make_manager, make_terms

BASELINE = {"softmax": (0, -1), "triplet": (0, -1)}


def make_baseline(pictures: Path, more: dict[str, tuple[int, int]], **settings: Any) -> ImageCCAFLEngine:
    """clip_tiny with softmax + triplet and more terms, on full labels, P people x K images."""
    manager = make_manager(pictures, train_sampler="IdentitySampler")
    torch.manual_seed(0)
    with options.override(input_size=(HEIGHT, WIDTH)):
        model = torchreid.models.build_model("clip_tiny", num_classes=1, loss="ccafl", pretrained=False)
    model.make_classifier(IDENTITIES)
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-3)
    terms = make_terms({**BASELINE, **more})
    return ImageCCAFLEngine(
        manager, model, optimizer, terms=terms, supervision="full", seed=1, use_gpu=False, **settings
    )


def started(engine: ImageCCAFLEngine) -> dict[str, Term]:
    """The terms by name, as they are at the start of the first epoch."""
    engine.epoch_start(0, engine.terms, engine.text.of_proxies)
    return {term.name: term for term in engine.terms}


def test_ical_takes_true_identities_and_proxies_per_camera(pictures: Path) -> None:
    engine = make_baseline(pictures, {"proxy_classifier": (0, -1), "ical": (0, -1)})
    terms = started(engine)
    labels = engine.labels
    weight = terms["proxy_classifier"].classifier.weight
    assert len(weight) == labels.num_proxies == IDENTITIES * CAMERAS
    engine.model.train()
    batch = engine.make_batch(next(iter(engine.train_loader)))
    train = engine.train_loader.dataset.train
    person_of_proxy = torch.tensor([train[labels.images_of_proxy(g)[0]][1] for g in range(labels.num_proxies)])
    expected = ICALLoss()(batch.features, weight, batch.proxies, labels.camera_of_proxy, person_of_proxy)
    assert terms["ical"].loss(batch)["adversarial"].item() == pytest.approx(expected.item(), rel=1e-6)
    alone = ICALLoss()(batch.features, weight, batch.proxies, labels.camera_of_proxy, torch.arange(labels.num_proxies))
    assert expected.item() != pytest.approx(alone.item(), rel=1e-3)  # the other cameras' proxies count


def test_the_epoch_starts_without_features_that_no_term_reads(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_baseline(pictures, {"proxy_classifier": (0, -1), "ical": (0, -1)})
    monkeypatch.setattr(engine.epoch_start.images, "encode", lambda *_: pytest.fail("features were extracted"))
    record = Recorder(engine)
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    parts = {"softmax/cross_entropy", "triplet/batch_hard", "proxy_classifier/classification", "ical/adversarial"}
    assert [set(report) for report in record.reports] == [parts | {"loss"}] * 2


def test_clip_reid_learns_a_prompt_per_person_over_the_whole_batch(pictures: Path, tmp_path: Path) -> None:
    stage = PromptStage(epochs=2, batch_size=16, lr=0.1, warmup_epochs=0, scope="person")
    engine = make_baseline(pictures, {"alignment": (0, -1)}, stage1=stage)
    twin = make_baseline(pictures, {"alignment": (0, -1)}, stage1=stage)
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    prompts = engine.text.prompts
    assert prompts.features.shape[0] == IDENTITIES

    labels, train = engine.labels, engine.train_loader.dataset.train
    twin.model.eval()
    with torch.no_grad():
        images = torch.stack(
            [engine.datamanager.transform_te(torchreid.utils.read_image(train[i][0])) for i in labels.path_order]
        )
        embeddings = torch.cat([twin.model.image_embedding(part) for part in images.split(16)])
    person_of_image = labels.person_of_proxy[labels.proxy_of_image[labels.path_order]]
    learn_prompts(twin.text.prompts.learner, twin.text.encoder, embeddings, person_of_image, None, stage, seed=1)
    torch.testing.assert_close(prompts.learner.context, twin.text.prompts.learner.context)


def test_clip_reid_compares_images_with_the_texts_of_all_people(pictures: Path, tmp_path: Path) -> None:
    stage = PromptStage(epochs=1, batch_size=16, scope="person")
    engine = make_baseline(pictures, {"alignment": (0, -1)}, stage1=stage)
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    alignment = started(engine)["alignment"]
    texts = engine.text.prompts.features
    torch.testing.assert_close(alignment.text, texts)

    engine.model.train()
    batch = engine.make_batch(next(iter(engine.train_loader)))
    persons = engine.labels.person_of_proxy[batch.proxies].tolist()
    total = 0.0
    for embedding, person in zip(batch.embeddings.detach().double(), persons, strict=True):
        logits = [float(embedding @ text.double()) for text in texts]
        normaliser = math.log(sum(math.exp(z - max(logits)) for z in logits)) + max(logits)
        for other, logit in enumerate(logits):
            total -= (0.1 / IDENTITIES + 0.9 * (other == person)) * (logit - normaliser)
    assert alignment.loss(batch)["text"].item() == pytest.approx(total / len(persons), rel=1e-5)
