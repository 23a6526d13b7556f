"""Inter-camera adversarial learning."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.losses import ICALLoss, positive_proxies
from ccafl_plugin.losses.ical import additive_margin, clamp_cosines
from ccafl_plugin.utils.errors import CCAFLError
from tests.losses.problems import (
    assert_finite_in_half,
    assert_same,
    assert_untouched,
    assert_zero_with_graph,
    labels,
    unit_rows,
    value_and_gradient,
)


def slow_ical(
    features: Tensor,
    weight: Tensor,
    proxies: list[int],
    cameras: list[int],
    pseudo: list[int],
    margin: float,
    hardness: float,
    smoothing: float,
) -> Tensor:
    total, kept = features.sum() * 0, 0
    for feature, g in zip(features, proxies, strict=True):
        k, c = pseudo[g], cameras[g]
        if k < 0:
            continue
        kept += 1
        partners = [j for j in range(len(cameras)) if pseudo[j] == k and cameras[j] != c]
        positives = [g, *partners]
        logits = {}
        for j, row in enumerate(weight):
            cosine = sum(x * y for x, y in zip(feature, row, strict=True)) / math.sqrt(sum(float(y) ** 2 for y in row))
            cosine = torch.clamp(cosine, -1, 1)
            if j == g and cosine > math.cos(math.pi - margin):
                theta_sine = torch.sqrt(torch.clamp(1 - cosine**2, min=1e-6))
                logits[j] = 16 * (cosine * math.cos(margin) - theta_sine * math.sin(margin))
            elif j == g:
                logits[j] = 16 * (cosine - margin * math.sin(margin))
            elif cameras[j] == c:
                logits[j] = 16 * ((1 + hardness) * cosine + hardness)
            else:
                logits[j] = 16 * cosine
        negatives = sum(torch.exp(z) for j, z in logits.items() if j not in positives)
        for j in positives:
            target = (1 - smoothing) * (j == g) + smoothing / len(positives)
            total = total - target * (logits[j] - torch.log(negatives + torch.exp(logits[j])))
    return total / max(kept, 1)


@given(
    batch=st.integers(1, 6),
    proxies=st.integers(1, 9),
    cameras=st.integers(1, 3),
    people=st.integers(0, 4),
    margin=st.sampled_from([0.3, 0.7, 2.0]),
    smoothing=st.sampled_from([0.0, 0.8, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_equals_loops(
    batch: int, proxies: int, cameras: int, people: int, margin: float, smoothing: float, seed: int
) -> None:
    features = 1.2 * unit_rows(batch, 3, seed=seed)  # some products lie beyond 1
    weight = 2 * unit_rows(proxies, 3, seed=seed + 1)
    names, seen_by = labels(batch, proxies, seed), labels(proxies, cameras, seed + 1)
    pseudo = labels(proxies, people, seed + 2, lowest=-1)  # also two proxies of one camera, and groups of one
    loss = ICALLoss(margin=margin, smoothing=smoothing)
    assert_same(
        lambda f: loss(f, weight, names, seen_by, pseudo),
        lambda f: slow_ical(
            f, weight, names.tolist(), seen_by.tolist(), pseudo.tolist(), margin, 0.2, smoothing
        ),
        features,
    )  # fmt: skip


def test_positive_proxies() -> None:
    cameras, pseudo = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 0, -1, -1])
    wanted = torch.tensor([[1, 0, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    assert torch.equal(positive_proxies(torch.tensor([0, 2, 4]), cameras, pseudo), wanted)


@pytest.mark.parametrize("margin", [0.3, 0.7])
def test_margin_on_both_sides_of_its_fallback(margin: float) -> None:
    border = math.cos(math.pi - margin)
    angles = torch.linspace(0.01, math.pi - 0.01, 50, dtype=torch.float64)
    for angle, got in zip(angles.tolist(), additive_margin(torch.cos(angles), margin).tolist(), strict=True):
        cosine = math.cos(angle)
        wanted = math.cos(angle + margin) if cosine > border else cosine - margin * math.sin(margin)
        assert got == pytest.approx(wanted, abs=1e-9)
    at_border = torch.tensor([border], dtype=torch.float64)
    assert additive_margin(at_border, margin).item() == pytest.approx(border - margin * math.sin(margin))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.3, 0.7])
def test_cosines_of_one_and_minus_one_have_finite_gradients(margin: float, dtype: torch.dtype) -> None:
    cosines = torch.tensor([1.0, -1.0], dtype=dtype, requires_grad=True)
    additive_margin(cosines, margin).sum().backward()
    assert torch.isfinite(cosines.grad).all()
    expected = [math.cos(margin) - 1e-3 * math.sin(margin), -1 - margin * math.sin(margin)]  # the sine is 1e-3 at least
    assert additive_margin(cosines, margin).tolist() == pytest.approx(expected, rel=1e-6)
    assert cosines.grad.tolist() == pytest.approx([math.cos(margin), 1.0])  # resp. the fallback's
    axes = torch.eye(4, dtype=dtype)
    cameras, pseudo = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    for features in (axes, -axes):
        loss = ICALLoss(margin=margin)
        value, gradient = value_and_gradient(
            lambda f, loss=loss: loss(f, axes, torch.arange(4), cameras, pseudo), features
        )
        assert math.isfinite(value)
        assert torch.isfinite(gradient).all()
        beside, slope = value_and_gradient(
            lambda f, loss=loss: loss(f, axes, torch.arange(4), cameras, pseudo), features * (1 - 1e-7)
        )
        torch.testing.assert_close(value, beside, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(gradient, slope, rtol=1e-4, atol=1e-3)


def test_clamped_cosines() -> None:
    cosines = torch.tensor([-1.5, -1.0, 0.25, 1.0, 1.5, math.nan], requires_grad=True)
    clamped = clamp_cosines(cosines)
    clamped[:-1].sum().backward()
    assert clamped[:-1].tolist() == [-1.0, -1.0, 0.25, 1.0, 1.0]
    assert math.isnan(clamped[-1].item())  # what is not finite must not be hidden
    assert cosines.grad[:-1].tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_no_image_is_kept() -> None:
    features, weight, proxies = unit_rows(5, 6), unit_rows(4, 6, seed=1), labels(5, 4)
    cameras = torch.tensor([0, 0, 1, 1])
    loss, nobody = ICALLoss(), torch.full((4,), -1)
    assert_zero_with_graph(lambda f: loss(f, weight, proxies, cameras, nobody), features)
    assert_zero_with_graph(lambda f: loss(f, weight, proxies[:0], cameras, nobody), features[:0])


def test_left_out_images_change_nothing() -> None:
    features, weight = unit_rows(4, 6), unit_rows(5, 6, seed=1)
    proxies, cameras, pseudo = torch.tensor([0, 4, 1, 2]), torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 0, 1, -1])
    loss = ICALLoss()
    value, gradient = value_and_gradient(lambda f: loss(f, weight, proxies, cameras, pseudo), features)
    kept = [0, 2, 3]
    alone, slope = value_and_gradient(lambda f: loss(f, weight, proxies[kept], cameras, pseudo), features[kept])
    torch.testing.assert_close(value, alone)
    torch.testing.assert_close(gradient[kept], slope)
    assert torch.equal(gradient[1], torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_any_negative_there_is_nothing_to_learn(dtype: torch.dtype) -> None:
    weight, cameras = unit_rows(3, 6).to(dtype), torch.arange(3)
    pseudo = torch.zeros(3, dtype=torch.int64)
    assert_zero_with_graph(lambda f: ICALLoss()(f, weight, labels(4, 3), cameras, pseudo), unit_rows(4, 6).to(dtype))


def test_half_precision_inputs_and_the_weight() -> None:
    features, weight, proxies = unit_rows(8, 16), unit_rows(6, 16, seed=1), labels(8, 6)
    cameras, pseudo = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 1, -1])
    loss = ICALLoss()
    assert_finite_in_half(lambda f: loss(f, weight.to(f.dtype), proxies, cameras, pseudo), features)
    assert_untouched(loss, features, weight, proxies, cameras, pseudo)
    parameter = torch.nn.Parameter(weight)
    loss(features.requires_grad_(), parameter, proxies, cameras, pseudo).backward()
    assert parameter.grad is None


@pytest.mark.parametrize("wrong", [{"smoothing": 1.1}, {"smoothing": -0.1}, {"margin": -0.1}, {"margin": 4.0}])
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(CCAFLError, match=next(iter(wrong))):
        ICALLoss(**wrong)


def test_labels_may_lie_on_another_device() -> None:
    features, weight = torch.empty(3, 8, device="meta"), torch.empty(5, 8, device="meta")
    cameras, pseudo = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, -1, 0, 1, 2])
    assert ICALLoss()(features, weight, torch.tensor([0, 1, 4]), cameras, pseudo).device.type == "meta"
