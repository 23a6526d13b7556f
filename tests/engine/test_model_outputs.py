"""What backbones give in training: every form of it, the length of the feature, and sizes that a model can't take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchreid
from torch import Tensor, nn
from torch.nn import functional as F

from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.model_outputs import promised_outputs, split_outputs, try_out
from ccafl_plugin.terms import SoftmaxTerm, TripletTerm
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import make_manager


class Unusual(nn.Module):
    """Counts its calls in a buffer, draws random numbers, has a part in eval mode; takes 16 x 8 images, in training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.frozen_norm = nn.BatchNorm2d(3)
        self.frozen_norm.eval()
        self.linear = nn.Linear(3 * 16 * 8, 6)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert self.training
        feature = self.linear(self.frozen_norm(self.norm(images)).flatten(1))
        return feature, F.dropout(feature)


def build(name: str, loss: str = "triplet") -> nn.Module:
    torch.manual_seed(0)
    return torchreid.models.build_model(name, num_classes=5, loss=loss, pretrained=False, use_gpu=False)


def test_trying_a_model_out_leaves_no_trace() -> None:
    model = Unusual()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    logits, feature = try_out(nn.DataParallel(model), 16, 8)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), drawn)
    assert feature.shape == logits.shape == (2, 6)
    assert not feature.requires_grad
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert model.training
    assert model.norm.training
    assert not model.frozen_norm.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert promised_outputs(model.eval(), 16, 8) == (6, True)
    assert not any(module.training for module in model.modules())


def test_a_size_that_a_model_cannot_take() -> None:
    with pytest.raises(CCAFLError) as found:
        try_out(build("hacnn"), 64, 32, "hacnn")
    assert str(found.value) == (
        "data.height, data.width: hacnn does not accept images of 64 x 32 pixels (Input size does not match, expected "
        "(160, 64) but got (64, 32)). Set data.height 160 data.width 64."
    )
    with pytest.raises(
        CCAFLError, match=r"SqueezeNet does not accept images of 16 x 8 .*\. Set data\.height 256 data\.width 1"
    ):
        try_out(build("squeezenet1_1"), 16, 8)
    with pytest.raises(
        CCAFLError,
        match=r"Unusual does not accept images of 64 x 32 .*\. It accepts none of the usual sizes \(256 x 128, ",
    ):
        try_out(Unusual(), 64, 32)


def test_every_form_of_outputs() -> None:
    rng = torch.Generator().manual_seed(0)
    feature, other, logits, embedding = (torch.randn(4, size, generator=rng) for size in (3, 2, 5, 6))
    plain = split_outputs((logits, feature))
    assert (plain.raw, plain.logits, plain.embeddings) == ((feature,), (logits,), None)
    assert torch.equal(plain.features, F.normalize(feature, dim=1))
    parts = split_outputs(([logits, 2 * logits], feature))
    assert [len(part) for part in (parts.raw, parts.logits)] == [1, 2]
    branches = split_outputs(((logits, logits), (feature, other)))
    assert branches.raw == (feature, other)
    expected = torch.cat([feature / feature.norm(dim=1)[:, None], other / other.norm(dim=1)[:, None]], 1) / 2**0.5
    torch.testing.assert_close(branches.features, expected)
    ours = split_outputs((feature, embedding, None))
    assert (ours.raw, ours.embeddings, ours.logits) == ((feature,), embedding, ())
    half = split_outputs((feature.half(), embedding.half(), logits.half())).to_float32()
    assert {tensor.dtype for tensor in (*half.raw, half.embeddings, *half.logits)} == {torch.float32}
    for nothing in (feature, [feature] * 6, (feature,)):
        with pytest.raises(CCAFLError, match=r"returns no feature in training\. Build it with loss='ccafl'"):
            split_outputs(nothing)


def test_branches_stand_side_by_side_as_in_eval_mode() -> None:
    model = build("hacnn").eval()
    images = torch.rand(3, 3, 160, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tested = F.normalize(model(images), dim=1)
        model.training = True  # the model alone: its batch norms stay in eval mode
        trained = split_outputs(model(images))
    assert [raw.shape for raw in trained.raw] == [(3, 512), (3, 512)]
    torch.testing.assert_close(trained.features, tested)


@pytest.mark.parametrize("name", ["resnet18", "hacnn"])
def test_a_model_built_for_another_loss_is_refused_at_once(name: str) -> None:
    """HACNN's two logits must not pass for logits and a feature."""
    with pytest.raises(CCAFLError, match="returns no feature in training"):
        promised_outputs(build(name, loss="softmax"), 160, 64)


@pytest.mark.parametrize(("name", "height", "width"), [("hacnn", 160, 64), ("pcb_p4", 16, 8)])
def test_torchreids_losses_are_means_over_classifiers_and_branches(
    pictures: Path, name: str, height: int, width: int
) -> None:
    """The values of torchreid's own engine on the same outputs."""
    manager = make_manager(pictures, height=height, width=width)
    model = torchreid.models.build_model(name, num_classes=18, loss="triplet", pretrained=False, use_gpu=False)
    softmax, triplet = SoftmaxTerm(), TripletTerm()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    engine = ImageCCAFLEngine(manager, model, optimizer, terms=[softmax, triplet])
    images = next(iter(manager.train_loader))
    model.eval()
    model.training = True
    with torch.no_grad():
        batch = engine.make_batch(images)
        logits, features = model(images["img"])
    own = torchreid.engine.ImageTripletEngine(manager, model, optimizer, use_gpu=False)
    own.criterion_x.num_classes = 18
    for term, criterion, outputs in ((softmax, own.criterion_x, logits), (triplet, own.criterion_t, features)):
        (ours,) = term.loss(batch).values()
        theirs = own.compute_loss(criterion, outputs, batch.classes)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
        assert ours.item() > 0
