"""Contrast with centroids and with the hardest instances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.losses import camera_contrast, cluster_contrast, instance_contrast
from ccafl_plugin.losses.intra import _HardestSimilarity
from tests.losses.problems import (
    assert_finite_in_half,
    assert_same,
    assert_untouched,
    assert_zero_with_graph,
    labels,
    unit_rows,
    value_and_gradient,
)

seeds = st.integers(0, 2**31)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return sum(x * y for x, y in zip(a, b, strict=True)) / torch.sqrt(sum(x * x for x in a))


def slow_cross_entropy(logits: list[Tensor], label: int) -> Tensor:
    return torch.log(sum(torch.exp(z - logits[label]) for z in logits))


def slow_contrast(features: Tensor, centroids: Tensor, names: list[int], temperature: float) -> Tensor:
    total, counted = features.sum() * 0, 0
    for feature, name in zip(features, names, strict=True):
        if name >= 0:
            total = total + slow_cross_entropy([dot(feature, row) / temperature for row in centroids], name)
            counted += 1
    return total / max(counted, 1)


def slow_instance(features: Tensor, instances: Tensor, local: list[int], temperature: float) -> Tensor:
    total = features.sum() * 0
    for feature, own in zip(features, local, strict=True):
        logits = []
        for j, rows in enumerate(instances):
            similar = [dot(feature, row) / temperature for row in rows]
            logits.append(min(similar) if j == own else max(similar))
        total = total + slow_cross_entropy(logits, own)
    return total / len(local)


@given(batch=st.integers(1, 9), classes=st.integers(1, 7), lowest=st.sampled_from([0, -1]), seed=seeds)
def test_contrast_equals_loops(batch: int, classes: int, lowest: int, seed: int) -> None:
    features, centroids = unit_rows(batch + classes, 5, seed=seed).split([batch, classes])
    names = labels(batch, classes, seed, lowest)
    for contrast in (camera_contrast, cluster_contrast):
        assert_same(
            lambda f, contrast=contrast: contrast(f, centroids, names, 0.05),
            lambda f: slow_contrast(f, centroids, names.tolist(), 0.05),
            features * 1.7,  # rows are normalised inside
        )


@given(batch=st.integers(1, 6), classes=st.integers(1, 5), slots=st.integers(1, 4), seed=seeds)
def test_instance_contrast_equals_loops(batch: int, classes: int, slots: int, seed: int) -> None:
    features, instances = unit_rows(batch, 5, seed=seed), unit_rows(classes, slots, 5, seed=seed + 1)
    local = labels(batch, classes, seed)
    assert_same(
        lambda f: instance_contrast(f, instances, local, 0.05),
        lambda f: slow_instance(f, instances, local.tolist(), 0.05),
        features * 0.6,
    )


def test_by_hand() -> None:
    axes = torch.eye(3, dtype=torch.float64)
    assert camera_contrast(axes[:1], axes, torch.tensor([0]), 0.5).item() == pytest.approx(
        math.log(1 + 2 * math.exp(-2))
    )
    # own proxy: the farther of its two instances counts; the other proxy: the nearer
    instances = torch.stack([axes[[0, 1]], axes[[2, 0]]])
    assert instance_contrast(axes[:1], instances, torch.tensor([0]), 1.0).item() == pytest.approx(math.log(1 + math.e))


def test_a_camera_with_one_proxy_teaches_nothing() -> None:
    zeros = torch.zeros(4, dtype=torch.int64)
    for loss in (
        lambda f: camera_contrast(f, unit_rows(1, 6), zeros),
        lambda f: instance_contrast(f, unit_rows(1, 3, 6), zeros),
    ):
        value, gradient = value_and_gradient(loss, unit_rows(4, 6, seed=1))
        assert value.item() == 0
        assert gradient.abs().max() < 1e-15


def test_nobody_takes_part() -> None:
    nobody = torch.full((4,), -1)
    assert_zero_with_graph(lambda f: cluster_contrast(f, unit_rows(3, 6), nobody), unit_rows(4, 6))
    assert_zero_with_graph(lambda f: camera_contrast(f, unit_rows(3, 6), nobody[:0]), unit_rows(0, 6))
    assert_zero_with_graph(lambda f: instance_contrast(f, unit_rows(3, 2, 6), nobody[:0]), unit_rows(0, 6))


def test_hardest_similarity_passes_gradcheck() -> None:
    instances, local = unit_rows(4, 3, 5, seed=2), torch.tensor([0, 3, 3, 1, 2])
    features = unit_rows(5, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: _HardestSimilarity.apply(f, instances, local), (features,))


def test_instances_are_not_copied() -> None:
    memory = unit_rows(6, 3, 5)
    features = unit_rows(2, 5).requires_grad_()
    hardest = _HardestSimilarity.apply(features, memory[2:5], torch.tensor([0, 2]))
    rows = hardest.grad_fn.saved_tensors[0]
    assert rows.data_ptr() == memory[2].data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cosines_of_one_and_minus_one_have_finite_gradients(dtype: torch.dtype) -> None:
    row = unit_rows(1, 6).to(dtype)
    rows, local = torch.cat([row, -row]), torch.tensor([0, 0, 1, 1])
    for loss in (
        lambda f: camera_contrast(f, rows, local),
        lambda f: instance_contrast(f, rows[:, None].repeat(1, 2, 1), local),
    ):
        value, gradient = value_and_gradient(loss, torch.cat([rows, rows]))
        assert value.item() == pytest.approx(20.0)  # half of the images sit on the other proxy: 2 / 0.05
        assert torch.isfinite(gradient).all()


def test_half_precision_and_inputs() -> None:
    features, centroids, instances, local = unit_rows(8, 16), unit_rows(4, 16), unit_rows(4, 3, 16), labels(8, 4)
    assert_finite_in_half(lambda f: camera_contrast(f, centroids.to(f.dtype), local, 0.5), features)
    assert_finite_in_half(lambda f: instance_contrast(f, instances.to(f.dtype), local, 0.5), features)
    assert_untouched(camera_contrast, features, centroids, local)
    assert_untouched(instance_contrast, features, instances, local)


def test_memories_get_no_gradient() -> None:
    features = unit_rows(4, 8).requires_grad_()
    centroids, instances = unit_rows(3, 8).requires_grad_(), unit_rows(3, 2, 8).requires_grad_()
    local = labels(4, 3)
    (camera_contrast(features, centroids, local) + instance_contrast(features, instances, local)).backward()
    assert features.grad is not None
    assert centroids.grad is None
    assert instances.grad is None
