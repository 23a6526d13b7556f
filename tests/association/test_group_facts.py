"""What is said of groups without any label, against slow and obvious counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from ccafl_plugin.association import associate
from ccafl_plugin.association import group_facts as module
from ccafl_plugin.association.group_facts import group_facts, stability
from ccafl_plugin.utils.camera_moments import without_cameras


def problem(
    size: int, cameras: int, groups: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.randn(size, 4, generator=rng, dtype=torch.float64), dim=1)
    return (
        features,
        torch.randint(cameras, (size,), generator=rng),
        torch.randint(-1, groups, (size,), generator=rng),
        torch.randint(-1, groups, (size,), generator=rng),
    )


def pairs(pseudo: list[int], cameras: list[int]) -> set[tuple[int, int]]:
    every = itertools.combinations(range(len(pseudo)), 2)
    return {(a, b) for a, b in every if pseudo[a] == pseudo[b] >= 0 and cameras[a] != cameras[b]}


def slow_margin(features: torch.Tensor, cameras: list[int], pseudo: list[int]) -> float | None:
    unit = without_cameras(features.numpy(), np.unique(cameras, return_inverse=True)[1])
    cosine = unit @ unit.T

    def mean_of_two(a: int, camera: int) -> float:
        top = sorted((cosine[a, j] for j in range(len(cameras)) if j != a and cameras[j] == camera), reverse=True)[:2]
        return sum(top) / len(top)

    margins = [
        2 * cosine[a, b] - mean_of_two(a, cameras[b]) - mean_of_two(b, cameras[a]) for a, b in pairs(pseudo, cameras)
    ]
    return sum(margins) / len(margins) if margins else None


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 6), st.integers(0, 999))
def test_equals_counting(size: int, cameras: int, groups: int, seed: int) -> None:
    features, camera, pseudo, before = problem(size, cameras, groups, seed)
    facts = group_facts(pseudo, camera, features, before)
    counts = [count for count in (pseudo.tolist().count(k) for k in range(groups)) if count > 1]
    assert facts.groups == len(counts)
    assert facts.sizes == {size: counts.count(size) for size in sorted(set(counts))}
    assert facts.grouped == pytest.approx(sum(counts) / size)
    now, then = pairs(pseudo.tolist(), camera.tolist()), pairs(before.tolist(), camera.tolist())
    assert facts.stability == (pytest.approx(len(now & then) / len(now | then)) if now | then else None)
    assert facts.mean_margin == pytest.approx(slow_margin(features, camera.tolist(), pseudo.tolist()), abs=1e-9)


def test_margins_of_some_groups_only(monkeypatch: pytest.MonkeyPatch) -> None:
    features, camera, pseudo, _ = problem(60, 3, 12, 1)
    monkeypatch.setattr(module, "MARGIN_PROXIES", 30)
    part = torch.where(pseudo % 2 == 0, pseudo, -1)  # every second of the groups, which are all of two and more
    assert all((pseudo == k).sum() > 1 for k in range(12))
    found = group_facts(pseudo, camera, features, None).mean_margin
    assert found == pytest.approx(slow_margin(features, camera.tolist(), part.tolist()))


def test_groups_of_the_association_have_margins_above_0() -> None:
    features, camera, *_ = problem(40, 4, 1, 3)
    pseudo = associate(features, camera, "margin")
    facts = group_facts(pseudo, camera, features, pseudo)
    assert facts.mean_margin > 0
    assert facts.stability == 1
    assert str(facts).startswith(f"{facts.groups} groups with ")
    assert str(facts).endswith("; 100.0% of the pairs stayed")


def test_nothing_grouped() -> None:
    features, camera, *_ = problem(5, 2, 1, 0)
    alone = torch.full((5,), -1)
    facts = group_facts(alone, camera, features, alone)
    assert facts == (0, {}, 0.0, None, None)
    assert str(facts) == "0 groups with 0.0% of the proxies"
    assert stability(torch.arange(5), torch.arange(5), camera) is None  # a group each, no pair
