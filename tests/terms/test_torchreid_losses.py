"""torchreid's softmax and triplet as terms: one step is that of torchreid's own ImageTripletEngine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.options import options
from ccafl_plugin.terms import Batch, SoftmaxTerm, TripletTerm
from tests.engine.small_runs import HEIGHT, WIDTH, make_manager

WEIGHT_T, WEIGHT_X = 0.5, 2.0
MARGIN = 9.0  # so wide that anchors count
CLASSIFIER = "classifier.weight"


def make_model(name: str, num_classes: int, loss: str) -> nn.Module:
    """The same weights at every call, whatever the loss."""
    torch.manual_seed(0)
    with options.override(input_size=(HEIGHT, WIDTH)):
        model = torchreid.models.build_model(name, num_classes, loss=loss, pretrained=False)
    if loss == "ccafl":
        model.make_classifier(num_classes)
    rows = torch.Generator().manual_seed(1)
    model.classifier.weight.data.normal_(std=0.1, generator=rows)
    return model


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def relabelled(batch: dict[str, Any], class_of_image: dict[str, int]) -> dict[str, Any]:
    """The batch with the labels that torchreid's engine is to learn."""
    return {**batch, "pid": torch.tensor([class_of_image[path] for path in batch["impath"]])}


@pytest.mark.parametrize("supervision", ["intra_camera", "full"])
@pytest.mark.parametrize("name", ["clip_tiny", "osnet_x0_25"])
@pytest.mark.parametrize("label_smooth", [True, False])
def test_a_step_is_torchreids(pictures: Path, name: str, supervision: str, label_smooth: bool) -> None:
    manager = make_manager(pictures)
    train = manager.train_loader.dataset.train
    labels = ProxyLabels.from_tuples(train)
    rule = Supervision(supervision)
    classes = rule.num_classes(labels)
    assert classes == {"intra_camera": 18, "full": 6}[supervision]
    torch.manual_seed(2)
    batch = next(iter(manager.train_loader))

    terms = [SoftmaxTerm(weight=WEIGHT_X, label_smooth=label_smooth), TripletTerm(weight=WEIGHT_T, margin=MARGIN)]
    ours = make_model(name, classes, "ccafl" if name == "clip_tiny" else "triplet")
    engine = ImageCCAFLEngine(manager, ours, sgd(ours), terms=terms, supervision=supervision, use_gpu=False)
    engine.active_terms = engine.terms
    ours.train()
    report = engine.forward_backward(batch)

    theirs = make_model(name, classes, "triplet")
    manager._num_train_pids = classes
    reference = torchreid.engine.ImageTripletEngine(
        manager,
        theirs,
        sgd(theirs),
        margin=MARGIN,
        weight_t=WEIGHT_T,
        weight_x=WEIGHT_X,
        use_gpu=False,
        label_smooth=label_smooth,
    )
    theirs.train()
    class_of_image = rule.class_of_proxy(labels)[labels.proxy_of_image].tolist()
    expected = reference.forward_backward(
        relabelled(batch, dict(zip([path for path, _, _, _ in train], class_of_image, strict=True)))
    )

    assert report["softmax/cross_entropy"] == pytest.approx(expected["loss_x"], rel=1e-6)
    assert report["triplet/batch_hard"] == pytest.approx(expected["loss_t"], rel=1e-6)
    assert expected["loss_t"] > 0
    assert report["loss"] == pytest.approx(WEIGHT_X * expected["loss_x"] + WEIGHT_T * expected["loss_t"], rel=1e-6)
    for key, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], tensor, msg=lambda text, key=key: f"{key}: {text}")
    assert not torch.equal(ours.state_dict()[CLASSIFIER], make_model(name, classes, "triplet").state_dict()[CLASSIFIER])


def test_people_are_one_class_with_full_labels_and_one_per_camera_without(pictures: Path) -> None:
    """Full labels: the same partition of the images as torchreid's pid. Intra-camera labels: as (camera, pid)."""
    train = make_manager(pictures).train_loader.dataset.train
    labels = ProxyLabels.from_tuples(train)
    for supervision, key in (("full", lambda e: e[1]), ("intra_camera", lambda e: (e[2], e[1]))):
        classes = Supervision(supervision).class_of_proxy(labels)[labels.proxy_of_image].tolist()
        pairs = {(key(entry), label) for entry, label in zip(train, classes, strict=True)}
        assert len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})


def test_a_batch_of_one_class_has_no_triplet() -> None:
    features = torch.eye(4)[:2].requires_grad_()
    one, same = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    batch = Batch((features,), features, None, (), one, same)
    loss = TripletTerm().loss(batch)["batch_hard"]
    loss.backward()
    assert loss == 0
    assert torch.equal(features.grad, torch.zeros(2, 4))
