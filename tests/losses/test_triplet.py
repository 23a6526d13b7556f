"""Batch-hard triplets, in the batch and against centroids."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.losses import batch_hard_triplet, centroid_triplet
from tests.losses.problems import (
    assert_finite_in_half,
    assert_same,
    assert_untouched,
    assert_zero_with_graph,
    labels,
    unit_rows,
    value_and_gradient,
)

sizes = st.integers(1, 9)
seeds = st.integers(0, 2**31)


def distance(a: Tensor, b: Tensor) -> Tensor:
    squared = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return torch.sqrt(squared) if squared > 1e-12 else torch.tensor(1e-6, dtype=a.dtype)


def slow_batch_hard(features: Tensor, names: list[int], margin: float) -> Tensor:
    total, anchors = features.sum() * 0, 0
    for anchor, name in zip(features, names, strict=True):
        if name < 0:
            continue
        anchors += 1
        others = list(zip(features, names, strict=True))
        positives = [distance(anchor, other) for other, its in others if its == name]
        negatives = [distance(anchor, other) for other, its in others if its != name and its >= 0]
        if negatives:
            total = total + torch.relu(max(positives) - min(negatives) + margin)
    return total / max(anchors, 1)


def slow_centroid(features: Tensor, centroids: Tensor, local: list[int], margin: float) -> Tensor:
    total = features.sum() * 0
    for anchor, own in zip(features, local, strict=True):
        negatives = [distance(anchor, row) for j, row in enumerate(centroids) if j != own]
        if negatives:
            total = total + torch.relu(distance(anchor, centroids[own]) - min(negatives) + margin)
    return total / len(local)


@given(batch=sizes, classes=st.integers(1, 5), lowest=st.sampled_from([0, -1]), dim=st.integers(1, 6), seed=seeds)
def test_batch_hard_equals_loops(batch: int, classes: int, lowest: int, dim: int, seed: int) -> None:
    features = unit_rows(batch, dim, seed=seed) + torch.arange(dim) * 1e-3  # neither unit nor equal in one dimension
    names = labels(batch, classes, seed, lowest)
    features = features * torch.linspace(0.5, 1.5, batch)[:, None]
    assert_same(
        lambda f: batch_hard_triplet(f, names, margin=0.3), lambda f: slow_batch_hard(f, names.tolist(), 0.3), features
    )


@given(batch=sizes, classes=st.integers(1, 5), lowest=st.sampled_from([0, -1]), cameras=st.integers(1, 3), seed=seeds)
def test_batch_hard_inside_cameras_adds_their_means(
    batch: int, classes: int, lowest: int, cameras: int, seed: int
) -> None:
    features, names, places = (
        unit_rows(batch, 4, seed=seed),
        labels(batch, classes, seed, lowest),
        labels(batch, cameras, seed + 1),
    )

    def slow(f: Tensor) -> Tensor:
        here = [places == camera for camera in range(cameras)]
        return sum(slow_batch_hard(f[rows], names[rows].tolist(), 0.3) for rows in here)

    assert_same(lambda f: batch_hard_triplet(f, names, 0.3, places), slow, features)


@given(batch=sizes, classes=st.integers(1, 7), seed=seeds)
def test_centroid_triplet_equals_loops(batch: int, classes: int, seed: int) -> None:
    features, centroids = unit_rows(batch + classes, 4, seed=seed).split([batch, classes])
    local = labels(batch, classes, seed)
    assert_same(
        lambda f: centroid_triplet(f, centroids, local),
        lambda f: slow_centroid(f, centroids, local.tolist(), 0.3),
        features,
    )


def test_by_hand() -> None:
    square = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [3.0, 4.0]])
    names = torch.tensor([0, 0, 1, 1])  # positives at 3, nearest negatives at 4
    assert batch_hard_triplet(square, names, margin=1.5).item() == pytest.approx(0.5)
    assert batch_hard_triplet(square, names, margin=0.3).item() == 0
    assert centroid_triplet(square[:1], square[1:], torch.tensor([1]), margin=0.3).item() == pytest.approx(1.3)


def test_one_label_has_no_negative() -> None:
    features = unit_rows(5, 4)
    assert_zero_with_graph(lambda f: batch_hard_triplet(f, torch.zeros(5, dtype=torch.int64)), features)
    assert_zero_with_graph(lambda f: centroid_triplet(f, unit_rows(1, 4), torch.zeros(5, dtype=torch.int64)), features)


def test_nobody_takes_part() -> None:
    nobody = torch.full((5,), -1)
    assert_zero_with_graph(lambda f: batch_hard_triplet(f, nobody), unit_rows(5, 4))
    assert_zero_with_graph(lambda f: batch_hard_triplet(f, nobody[:0]), unit_rows(0, 4))
    assert_zero_with_graph(lambda f: centroid_triplet(f, unit_rows(3, 4), nobody[:0]), unit_rows(0, 4))


def test_one_image_per_label_is_its_own_positive() -> None:
    features = unit_rows(4, 8)
    nearest = min(distance(a, b) for i, a in enumerate(features) for b in features[i + 1 :])
    loss = batch_hard_triplet(features, torch.arange(4), margin=3)
    assert loss.item() >= 3 - 2  # all anchors count
    assert loss.item() <= 3 + 1e-6 - float(nearest)


def test_an_image_without_a_negative_stays_in_the_mean() -> None:
    features, names = unit_rows(4, 8), torch.tensor([0, 0, 1, 1])
    with_stranger = torch.cat([features, unit_rows(1, 8, seed=9)])
    left_out = batch_hard_triplet(with_stranger, torch.tensor([0, 0, 1, 1, -1]))
    assert torch.equal(left_out, batch_hard_triplet(features, names))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coinciding_and_opposite_features_have_finite_gradients(dtype: torch.dtype) -> None:
    row = unit_rows(1, 8).to(dtype)
    features, names = torch.cat([row, row, -row, row, -row, -row]), torch.tensor([0, 0, 0, 1, 1, 2])
    centroids = torch.cat([row, row, -row])
    for loss in (lambda f: batch_hard_triplet(f, names), lambda f: centroid_triplet(f, centroids, names)):
        value, gradient = value_and_gradient(loss, features)
        assert math.isfinite(value)
        assert torch.isfinite(gradient).all()
        assert gradient.norm(dim=1).max() < 10


def test_half_precision_and_inputs() -> None:
    features, centroids, names = unit_rows(8, 16), unit_rows(4, 16, seed=1), labels(8, 4)
    assert_finite_in_half(lambda f: batch_hard_triplet(f, names), features)
    assert_finite_in_half(lambda f: centroid_triplet(f, centroids.to(f.dtype), names), features)
    assert_untouched(batch_hard_triplet, features, names)
    assert_untouched(centroid_triplet, features, centroids, names)


def test_centroids_get_no_gradient() -> None:
    features, centroids = unit_rows(4, 8).requires_grad_(), unit_rows(3, 8, seed=1).requires_grad_()
    centroid_triplet(features, centroids, labels(4, 3), margin=5).backward()
    assert features.grad is not None
    assert centroids.grad is None
