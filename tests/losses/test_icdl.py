"""Intra-camera discriminative learning, put together."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.losses import (
    HybridMemory,
    ICDLLoss,
    batch_hard_triplet,
    camera_contrast,
    centroid_triplet,
    instance_contrast,
)
from ccafl_plugin.utils.errors import CCAFLError
from tests.losses.problems import (
    assert_finite_in_half,
    assert_untouched,
    assert_zero_with_graph,
    labels,
    unit_rows,
)

Problem = tuple[HybridMemory, Tensor, Tensor, Tensor, Tensor]


def problem(sizes: list[int], batch: int, seed: int = 0) -> Problem:
    """Memory, features, proxies, image features and texts."""
    memory = HybridMemory(sizes, dim=5, instances=3).double()
    memory.centroids.copy_(unit_rows(sum(sizes), 5, seed=seed))
    memory.instances.copy_(unit_rows(sum(sizes), 3, 5, seed=seed + 1))
    features = unit_rows(batch, 5, seed=seed + 2)
    images, texts = (2 * unit_rows(batch + sum(sizes), 4, seed=seed + 3)).split([batch, sum(sizes)])
    return memory, features, labels(batch, sum(sizes), seed), images, texts


def slow_icdl(
    memory: HybridMemory, features: Tensor, proxies: list[int], images: Tensor, texts: Tensor
) -> list[Tensor]:
    """The five parts, image by image."""
    cameras = memory.camera_of_proxy.tolist()
    parts = [features.sum() * 0 for _ in range(5)]

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return sum(x * y for x, y in zip(a, b, strict=True))

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return torch.sqrt(torch.clamp(dot(a - b, a - b), min=1e-12))

    def negative_log(logits: dict[int, Tensor], j: int) -> Tensor:
        return torch.log(sum(torch.exp(z - logits[j]) for z in logits.values()))

    for i, own in enumerate(proxies):
        here = [g for g, camera in enumerate(cameras) if camera == cameras[own]]
        batch_here = [b for b, g in enumerate(proxies) if g in here]
        share = 1 / len(batch_here)
        f = features[i]
        unit = f / torch.sqrt(dot(f, f))
        parts[0] = parts[0] + share * negative_log({g: dot(unit, memory.centroids[g]) / 0.05 for g in here}, own)
        hardest = {}
        for g in here:
            similar = [dot(unit, row) / 0.05 for row in memory.instances[g]]
            hardest[g] = min(similar) if g == own else max(similar)
        parts[1] = parts[1] + share * negative_log(hardest, own)
        others = [distance(f, memory.centroids[g]) for g in here if g != own]
        if others:
            gap = distance(f, memory.centroids[own]) - min(others)
            parts[2] = parts[2] + share * torch.relu(gap + 0.3)
        far = [distance(f, features[b]) for b in batch_here if proxies[b] == own]
        near = [distance(f, features[b]) for b in batch_here if proxies[b] != own]
        if near:
            parts[3] = parts[3] + share * torch.relu(max(far) - min(near) + 0.3)
        logits = {g: dot(images[i], texts[g]) for g in here}
        for g in here:
            target = 0.1 / len(here) + 0.9 * (g == own)
            parts[4] = parts[4] + share * target * negative_log(logits, g)
    return parts


@pytest.mark.parametrize("weight_lambda", [0.0, 0.6, 1.0])
@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    batch=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_equals_loops(weight_lambda: float, sizes: list[int], batch: int, seed: int) -> None:
    memory, features, proxies, images, texts = problem(sizes, batch, seed)
    features.requires_grad_(), images.requires_grad_()
    got = ICDLLoss(weight_lambda)(features, memory, proxies, images, texts)
    got.total.backward()
    gradients = features.grad, images.grad
    features.grad = images.grad = None

    slow = slow_icdl(memory, features, proxies.tolist(), images, texts)
    factors = [weight_lambda, 1 - weight_lambda, 1, 1, 1]
    total = sum(factor * part for factor, part in zip(factors, slow, strict=True))
    total.backward()
    torch.testing.assert_close(got.total, total, rtol=1e-9, atol=1e-11)
    for part, factor, expected in zip(got[1:], factors, slow, strict=True):
        wanted = expected if factor else torch.zeros_like(expected)  # what counts for nothing is not computed
        torch.testing.assert_close(part, wanted, rtol=1e-9, atol=1e-11)
    for gradient, slope in zip(gradients, (features.grad, images.grad), strict=True):
        torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-10)


def test_weights_of_the_parts() -> None:
    memory, features, proxies, images, texts = problem([3, 4], 8)
    one = ICDLLoss()(features, memory, proxies, images, texts)
    weights = {
        "weight_centroid": 2.0,
        "weight_instance": 3.0,
        "weight_centroid_triplet": 4.0,
        "weight_batch_triplet": 5.0,
        "weight_alignment": 6.0,
    }
    many = ICDLLoss(**weights)(features, memory, proxies, images, texts)
    assert many[1:] == one[1:]
    expected = 1.2 * one.centroid + 1.2 * one.instance + 4 * one.centroid_triplet
    torch.testing.assert_close(many.total, expected + 5 * one.batch_triplet + 6 * one.alignment)
    baseline = ICDLLoss(1.0, weight_centroid_triplet=0, weight_batch_triplet=0, weight_alignment=0)
    alone = baseline(features, memory, proxies, images, texts)
    assert alone.total == alone.centroid == one.centroid
    assert alone[2:] == (0, 0, 0, 0)


@pytest.mark.parametrize(("cameras", "weight"), [(6, 0.16666667), (8, 0.125), (15, 0.06666667)])
def test_mean_over_cameras_is_the_sum_weighed_by_one_over_their_number(cameras: int, weight: float) -> None:
    """Bit by bit, in float32, what a weight of that many digits gave; the cameras are those of the training set."""
    memory, features, _, images, texts = (part.float() for part in problem([3] * cameras, 12))
    proxies = labels(12, 3 * (cameras - 1))  # the last camera has no image in the batch
    results = []
    for reduction in ("sum", "mean_over_cameras"):
        inputs = [features.clone().requires_grad_(), images.clone().requires_grad_()]
        parts = ICDLLoss(reduction=reduction)(inputs[0], memory, proxies, inputs[1], texts)
        loss = parts.total if reduction == "mean_over_cameras" else weight * parts.total
        loss.backward()
        results.append((loss, *(leaf.grad for leaf in inputs), *parts[1:]))
    for summed, mean in zip(*results, strict=True):
        assert torch.equal(summed, mean)


def test_without_texts_there_is_no_alignment() -> None:
    memory, features, proxies, images, texts = problem([3, 4], 8)
    whole = ICDLLoss()(features, memory, proxies, images, texts)
    for v, t in ((None, texts), (images, None), (None, None)):
        part = ICDLLoss()(features, memory, proxies, v, t)
        assert part.alignment == 0
        torch.testing.assert_close(part.total, whole.total - whole.alignment)


def test_cameras_add_up_and_do_not_mix() -> None:
    memory, features, proxies, images, texts = problem([3, 4, 2], 9)
    loss = ICDLLoss()
    whole = loss(features, memory, proxies, images, texts)
    cameras = memory.camera_of_proxy[proxies]
    alone = [
        loss(features[here], memory, proxies[here], images[here], texts)
        for here in (cameras == camera for camera in cameras.unique())
    ]
    assert len(alone) > 1
    for k, part in enumerate(whole):
        torch.testing.assert_close(part, sum(single[k] for single in alone))


def test_each_camera_is_what_the_functions_for_one_camera_give() -> None:
    memory, features, proxies, _, _ = problem([3, 4, 2], 20)
    parts = ICDLLoss()(features, memory, proxies)
    expected = [torch.zeros((), dtype=torch.float64) for _ in range(4)]
    for part in memory.split(proxies):
        f, centroids = features[part.rows], memory.centroids[part.of_camera]
        expected[0] += camera_contrast(f, centroids, part.local)
        expected[1] += instance_contrast(f, memory.instances[part.of_camera], part.local)
        expected[2] += centroid_triplet(f, centroids, part.local)
        expected[3] += batch_hard_triplet(f, part.local)
    assert all(value > 0 for value in expected)
    torch.testing.assert_close(parts[1:5], tuple(expected))


def test_a_camera_with_one_proxy_has_nothing_to_tell_apart() -> None:
    memory, features, _, images, texts = problem([1, 3], 4)
    proxies = torch.zeros(4, dtype=torch.int64)
    parts = ICDLLoss()(features, memory, proxies, images, texts)
    assert parts == (0, 0, 0, 0, 0, 0)


def test_empty_batch() -> None:
    memory, features, proxies, images, texts = problem([3, 4], 0)
    for k in range(6):
        assert_zero_with_graph(lambda f, k=k: ICDLLoss()(f, memory, proxies, images, texts)[k], features)


def test_half_precision() -> None:
    memory, features, proxies, images, texts = problem([3, 4], 8)

    def total(f: Tensor) -> Tensor:
        same = memory.to(torch.float64 if f.dtype == torch.float64 else torch.float32)
        return ICDLLoss(temperature=0.5)(f, same, proxies, images.to(f.dtype), texts.to(f.dtype)).total

    assert_finite_in_half(total, features)


def test_memory_and_inputs_are_only_read() -> None:
    memory, features, proxies, images, texts = problem([3, 4], 8)
    centroids, instances = memory.centroids.clone(), memory.instances.clone()
    assert_untouched(lambda f, p, v, t: ICDLLoss()(f, memory, p, v, t), features, proxies, images, texts)
    assert torch.equal(memory.centroids, centroids)
    assert torch.equal(memory.instances, instances)
    texts.requires_grad_()
    ICDLLoss()(features.requires_grad_(), memory, proxies, images, texts).total.backward()
    assert texts.grad is None
    assert memory.instances.grad is None


@pytest.mark.parametrize(
    "wrong", [{"weight_lambda": 1.5}, {"weight_lambda": math.nan}, {"temperature": 0.0}, {"reduction": "mean"}]
)
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(CCAFLError, match="ICDLLoss"):
        ICDLLoss(**wrong)
