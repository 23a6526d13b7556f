"""Contrast of images with texts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.losses import prompt_contrast, text_alignment
from tests.losses.problems import (
    assert_finite_in_half,
    assert_same,
    assert_untouched,
    assert_zero_with_graph,
    labels,
    unit_rows,
)

seeds = st.integers(0, 2**31)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return sum(x * y for x, y in zip(a, b, strict=True))


def slow_prompt_contrast(images: Tensor, texts: Tensor, names: list[int], cameras: list[int]) -> Tensor:
    total = texts.sum() * 0
    for camera in set(cameras):
        here = [i for i, c in enumerate(cameras) if c == camera]
        for queries, keys in ((images, texts), (texts, images)):
            for i in here:
                positives = [p for p in here if names[p] == names[i]]
                everything = sum(torch.exp(dot(queries[i], keys[a])) for a in here)
                for p in positives:
                    log_probability = torch.log(torch.exp(dot(queries[i], keys[p])) / everything)
                    total = total - log_probability / len(positives) / len(here)
    return total


def slow_alignment(images: Tensor, texts: Tensor, names: list[int], smoothing: float) -> Tensor:
    total, counted = images.sum() * 0, 0
    for image, name in zip(images, names, strict=True):
        if name < 0:
            continue
        counted += 1
        everything = sum(torch.exp(dot(image, text)) for text in texts)
        for j, text in enumerate(texts):
            target = smoothing / len(texts) + (1 - smoothing) * (j == name)
            total = total - target * torch.log(torch.exp(dot(image, text)) / everything)
    return total / max(counted, 1)


@given(batch=st.integers(1, 8), people=st.integers(1, 4), cameras=st.integers(1, 3), seed=seeds)
def test_prompt_contrast_equals_loops(batch: int, people: int, cameras: int, seed: int) -> None:
    images, texts = (3 * unit_rows(2 * batch, 4, seed=seed)).split(batch)
    names, seen_by = labels(batch, people, seed), labels(batch, cameras, seed + 1)
    assert_same(
        lambda t: prompt_contrast(images, t, names, seen_by),
        lambda t: slow_prompt_contrast(images, t, names.tolist(), seen_by.tolist()),
        texts,
    )
    assert_same(
        lambda t: prompt_contrast(images, t, names),
        lambda t: slow_prompt_contrast(images, t, names.tolist(), [0] * batch),
        texts,
    )


@given(batch=st.integers(1, 8), classes=st.integers(1, 5), smoothing=st.sampled_from([0.0, 0.1, 1.0]), seed=seeds)
def test_text_alignment_equals_loops(batch: int, classes: int, smoothing: float, seed: int) -> None:
    images, texts = (3 * unit_rows(batch + classes, 4, seed=seed)).split([batch, classes])
    names = labels(batch, classes, seed, lowest=-1)
    assert_same(
        lambda v: text_alignment(v, texts, names, smoothing),
        lambda v: slow_alignment(v, texts, names.tolist(), smoothing),
        images,
    )


def test_by_hand() -> None:
    axes = torch.eye(2, dtype=torch.float64)
    names = torch.tensor([0, 1])
    pair = math.log(1 + math.exp(-1))  # one positive at 1, one negative at 0
    assert prompt_contrast(axes, axes, names).item() == pytest.approx(2 * pair)
    assert prompt_contrast(axes, axes, names, cameras=names).item() == 0  # alone in its camera: nothing to confuse
    assert text_alignment(axes, axes, names, smoothing=0.1).item() == pytest.approx(pair + 0.05)


def test_nobody_takes_part() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert_zero_with_graph(lambda t: prompt_contrast(unit_rows(0, 4), t, none, none), unit_rows(0, 4))
    assert_zero_with_graph(lambda v: text_alignment(v, unit_rows(3, 4), none), unit_rows(0, 4))
    assert_zero_with_graph(lambda v: text_alignment(v, unit_rows(3, 4), torch.full((5,), -1)), unit_rows(5, 4))


def test_large_products_stay_finite_and_inputs_untouched() -> None:
    images, texts, names, cameras = 100 * unit_rows(8, 16), unit_rows(8, 16, seed=1), labels(8, 4), labels(8, 2, 1)
    assert_finite_in_half(lambda t: prompt_contrast(images.to(t.dtype), t, names, cameras), texts)
    assert_finite_in_half(lambda v: text_alignment(v, texts[:4].to(v.dtype), names), 10 * unit_rows(8, 16))
    assert_untouched(prompt_contrast, images, texts, names, cameras)
    assert_untouched(text_alignment, images, texts, names)


def test_gradients_go_where_they_belong() -> None:
    images, texts = unit_rows(4, 8).requires_grad_(), unit_rows(4, 8, seed=1).requires_grad_()
    prompt_contrast(images, texts, labels(4, 3)).backward()
    assert images.grad is None
    assert texts.grad is not None
    texts.grad = None
    text_alignment(images, texts, labels(4, 3)).backward()
    assert images.grad is not None
    assert texts.grad is None
