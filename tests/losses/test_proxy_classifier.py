"""The classifier over all proxies."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.losses import ProxyClassifier
from ccafl_plugin.losses.proxy_classifier import similarity_to_rows
from ccafl_plugin.utils.errors import CCAFLError
from tests.losses.problems import HALVES, assert_untouched, labels, unit_rows


def slow_loss(features: Tensor, weight: Tensor, proxies: list[int], scale: float) -> Tensor:
    total = weight.sum() * 0
    for feature, proxy in zip(features, proxies, strict=True):
        logits = []
        for row in weight:
            length = torch.sqrt(sum(x * x for x in row))
            logits.append(scale * sum(x * y for x, y in zip(feature, row, strict=True)) / length)
        total = total + torch.log(sum(torch.exp(z - logits[proxy]) for z in logits))
    return total / len(proxies)


@given(batch=st.integers(1, 7), proxies=st.integers(1, 7), seed=st.integers(0, 2**31))
def test_equals_loops(batch: int, proxies: int, seed: int) -> None:
    classifier = ProxyClassifier(proxies, 5, generator=torch.Generator().manual_seed(seed)).double()
    features, names = unit_rows(batch, 5, seed=seed), labels(batch, proxies, seed)
    loss = classifier(features, names)
    loss.backward()
    weight = classifier.weight.detach().clone().requires_grad_()
    expected = slow_loss(features, weight, names.tolist(), 16.0)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(classifier.weight.grad, weight.grad, rtol=1e-8, atol=1e-10)


def test_similarity_passes_gradcheck() -> None:
    features, weight = (2 * unit_rows(3, 4)).requires_grad_(), (3 * unit_rows(5, 4, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(similarity_to_rows, (features, weight))


def test_initial_weight() -> None:
    first, again, other = (
        ProxyClassifier(300, 100, generator=torch.Generator().manual_seed(seed)).weight for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    bound = math.sqrt(6 / 400)
    assert bound * 0.99 < first.abs().max() <= bound
    assert abs(first.mean().item()) < bound / 50


def test_features_get_no_gradient_and_stay_untouched() -> None:
    classifier = ProxyClassifier(4, 8)
    features = unit_rows(3, 8).float().requires_grad_()
    assert_untouched(classifier, features.detach(), labels(3, 4))
    classifier(features, labels(3, 4)).backward()
    assert features.grad is None
    assert classifier.weight.grad is not None


def test_empty_batch_has_a_graph() -> None:
    classifier = ProxyClassifier(4, 8)
    loss = classifier(torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(classifier.weight.grad, torch.zeros(4, 8))


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision(dtype: torch.dtype) -> None:
    classifier = ProxyClassifier(4, 16)
    expected = classifier(unit_rows(8, 16).float(), labels(8, 4)).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = classifier(unit_rows(8, 16).to(dtype), labels(8, 4))
        loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=0.05)
    assert torch.isfinite(classifier.weight.grad).all()


def test_no_proxy_is_an_error() -> None:
    with pytest.raises(CCAFLError, match="at least one proxy"):
        ProxyClassifier(0, 8)


def test_a_step_of_its_own() -> None:
    classifier = ProxyClassifier(4, 8).double()
    features, proxies = unit_rows(6, 8).requires_grad_(), labels(6, 4)
    before = classifier.weight.detach().clone()
    expected = classifier(features, proxies)
    (slope,) = torch.autograd.grad(expected, classifier.weight)
    classifier.weight.grad = torch.ones_like(before)  # left over from whatever was before
    loss = classifier.learn(features, proxies, torch.optim.SGD(classifier.parameters(), lr=0.5))
    assert torch.equal(loss, expected.detach())
    assert not loss.requires_grad
    torch.testing.assert_close(classifier.weight.detach(), before - 0.5 * slope)
    assert features.grad is None


def test_labels_may_lie_on_another_device() -> None:
    classifier = ProxyClassifier(4, 8).to("meta")
    assert classifier(torch.empty(6, 8, device="meta"), labels(6, 4)).device.type == "meta"
