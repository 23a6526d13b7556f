"""The encoder's passes: batches in parts give the gradients of whole ones, and mixed precision ends in float32."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ccafl_plugin.engine.encoder_pass import EncoderPass, check_parts, check_replicas, gradient_scaler
from ccafl_plugin.utils.errors import CCAFLError


class Small(nn.Module):
    """An encoder with every kind of output, under the contract of models built with loss ``ccafl``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), *layers)
        self.text_side = nn.Linear(6, 4)
        self.classifier = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.body(images)
        return raw, self.text_side(raw), self.classifier(raw)


def small(*layers: nn.Module) -> Small:
    """Always with the same weights."""
    model, rng = Small(*layers).double().train(), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3, generator=rng)
    return model


IMAGES = torch.randn(12, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def whole_batch_loss(outputs: object) -> Tensor:
    """Every image is compared with every other one, so no part can compute its share alone."""
    features = outputs.features
    pairs = (features @ features.T).exp().sum().log()
    return pairs + (outputs.embeddings @ outputs.embeddings.T).tanh().sum() + outputs.logits[0].logsumexp(0).sum()


def gradients(model: nn.Module, parts: int, images: Tensor = IMAGES) -> dict[str, Tensor]:
    """Features, the loss and the gradients of all weights."""
    encoder = EncoderPass(model, parts=parts)
    outputs = encoder.forward(images)
    loss = whole_batch_loss(outputs)
    encoder.backward(2 * loss)
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    return {"features": outputs.features.detach(), "loss": loss.detach(), **found}


def assert_close(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in second.items():
        torch.testing.assert_close(first[name], value, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("parts", [2, 3, 5, 6, 12])
def test_parts_give_the_gradients_of_the_whole_batch(parts: int) -> None:
    """5 does not divide 12, and of 12 parts each would have a single image: smaller batches than planned for."""
    assert_close(gradients(small(nn.GELU(), nn.Linear(6, 6)), parts), gradients(small(nn.GELU(), nn.Linear(6, 6)), 1))


def test_batch_norm_on_its_running_statistics_changes_nothing_either() -> None:
    models = [small(nn.BatchNorm1d(6)) for _ in range(2)]
    for model in models:
        model.body[2].running_mean.add_(0.5)
        model.body[2].eval()
    assert_close(gradients(models[0], 4), gradients(models[1], 1))


def test_batch_norm_in_training_sees_the_parts() -> None:
    """Part j has the images j, j + n, ...; its statistics are counted once though it runs twice."""
    model = small(nn.BatchNorm1d(6))
    norm, slow = model.body[2], copy.deepcopy(model)
    found = gradients(model, 3)
    expected = torch.cat([slow.body(IMAGES[first::3]) for first in range(3)])
    order = [row for first in range(3) for row in range(first, 12, 3)]
    torch.testing.assert_close(found["features"][order], nn.functional.normalize(expected, dim=1))
    assert int(norm.num_batches_tracked) == 3
    torch.testing.assert_close(norm.running_mean, slow.body[2].running_mean, rtol=0, atol=0)
    assert not torch.equal(found["features"], gradients(small(nn.BatchNorm1d(6)), 1)["features"])


def test_random_draws_are_repeated() -> None:
    """Against a graph that holds all parts at once, drawn from the same random state."""
    model = small(nn.Dropout(0.5))
    slow = copy.deepcopy(model)
    torch.manual_seed(7)
    found = gradients(model, 3)
    state = torch.get_rng_state()
    torch.manual_seed(7)
    parts = [slow(IMAGES[first::3]) for first in range(3)]
    assert torch.equal(torch.get_rng_state(), state), "the second run leaves the random state alone"
    back = torch.tensor([row for first in range(3) for row in range(first, 12, 3)]).argsort()
    raw, embeddings, logits = (torch.cat(outputs)[back] for outputs in zip(*parts, strict=True))
    features = nn.functional.normalize(raw, dim=1)
    loss = (features @ features.T).exp().sum().log()
    loss = loss + (embeddings @ embeddings.T).tanh().sum() + logits.logsumexp(0).sum()
    (2 * loss).backward()
    assert_close(found, {"features": features, "loss": loss, **{n: p.grad for n, p in slow.named_parameters()}})


def test_only_one_part_is_kept_for_the_backward_pass() -> None:
    model = small(nn.GELU())
    encoder, runs = EncoderPass(model, parts=4), []
    model.body.register_forward_hook(lambda module, inputs, output: runs.append((len(output), output.requires_grad)))
    outputs = encoder.forward(IMAGES)
    assert all(tensor.is_leaf and tensor.requires_grad for tensor in outputs.tensors())
    assert runs == [(3, False)] * 4
    encoder.backward(whole_batch_loss(outputs))
    assert runs[4:] == [(3, True)] * 4


def test_outputs_without_a_gradient_are_left_out() -> None:
    """Only some outputs are used, and some layers are frozen."""
    model, whole = small(), small()
    for each, parts in ((model, 3), (whole, 1)):
        each.body.requires_grad_(False)
        encoder = EncoderPass(each, parts=parts)
        encoder.backward(encoder.forward(IMAGES).logits[0].square().sum())
    torch.testing.assert_close(model.classifier.weight.grad, whole.classifier.weight.grad)
    assert model.text_side.weight.grad is None and model.body[1].weight.grad is None


@pytest.mark.parametrize("parts", [1, 2])
def test_mixed_precision_ends_in_float32(parts: int) -> None:
    model, seen = small().float(), []
    model.body.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    encoder = EncoderPass(model, torch.bfloat16, parts)
    outputs = encoder.forward(IMAGES.float())
    assert set(seen) == {torch.bfloat16}
    assert {tensor.dtype for tensor in outputs.tensors()} == {torch.float32}
    encoder.backward(whole_batch_loss(outputs))
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}
    exact = EncoderPass(model).forward(IMAGES.float())
    assert not torch.equal(exact.raw[0], outputs.raw[0])
    torch.testing.assert_close(exact.raw[0], outputs.raw[0].detach(), rtol=0.05, atol=0.05)


def test_only_float16_needs_a_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: asked.append(enabled), raising=False)
    for dtype in (None, torch.bfloat16, torch.float16):
        gradient_scaler(dtype)
    assert asked == [False, False, True]


def test_bfloat16_does_not_reach_replicas() -> None:
    model = torch.nn.DataParallel(torch.nn.Linear(2, 2))
    for devices, dtype in (([0], torch.bfloat16), ([0, 1], torch.float16), ([0, 1], None)):
        model.device_ids = devices
        check_replicas(model, dtype)
    model.device_ids = [0, 1]
    with pytest.raises(CCAFLError, match=r"^extraction_precision: nn\.DataParallel cannot run bf16 on several GPUs"):
        check_replicas(model, torch.bfloat16, "extraction_precision")


def test_numbers_of_parts() -> None:
    for parts in (1, 2, 4, 64):
        check_parts(128, parts)
    for parts in (3, 128, 200):
        with pytest.raises(CCAFLError, match=rf"batch of 128 .* into {parts} equal parts .* 1, 2, 4, 8, 16, 32, 64\."):
            check_parts(128, parts)
    check_parts(1, 1)
    with pytest.raises(CCAFLError, match=r"Choose one of 1\."):
        check_parts(3, 2)
