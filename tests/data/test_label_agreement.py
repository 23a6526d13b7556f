"""Labels held against the features of their camera: against loops, and on planted wrong labels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from ccafl_plugin.data import label_agreement as module
from ccafl_plugin.data.label_agreement import (
    Agreement,
    doubtful_labels,
    highest_level,
    label_agreement,
    wrong_share,
)

PEOPLE, CAMERAS, IMAGES = 60, 2, 5


def planted(wrong: float, spread: float = 0.6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list]:
    """Unit features, labels of which a share is wrong, the camera of every proxy, and which labels are wrong."""
    rng = torch.Generator().manual_seed(seed)
    people = torch.randn(PEOPLE, 32, generator=rng)
    offsets = 3 * torch.randn(CAMERAS, 32, generator=rng)
    rows, proxies, false = [], [], []
    for camera in range(CAMERAS):
        for person in range(PEOPLE):
            for _ in range(IMAGES):
                rows.append(people[person] + offsets[camera] + spread * torch.randn(32, generator=rng))
                is_wrong = bool(torch.rand((), generator=rng) < wrong)
                step = 1 + int(torch.randint(PEOPLE - 1, (), generator=rng)) if is_wrong else 0
                proxies.append(camera * PEOPLE + (person + step) % PEOPLE)
                false.append(is_wrong)
    camera_of_proxy = torch.arange(CAMERAS).repeat_interleave(PEOPLE)
    return F.normalize(torch.stack(rows), dim=1), torch.tensor(proxies), camera_of_proxy, false


def looped_similarities(
    i: int, features: list[list[float]], proxies: list[int], cameras: list[int], trusted: list[bool]
) -> dict[int, float]:
    """The similarity of image i to each proxy of its camera: to the proxy's most similar trusted image but itself."""
    mates = [j for j in range(len(proxies)) if cameras[proxies[j]] == cameras[proxies[i]]]
    mean = [sum(features[j][d] for j in mates) / len(mates) for d in range(len(features[0]))]

    def centred(j: int) -> list[float]:
        row = [x - m for x, m in zip(features[j], mean, strict=True)]
        length = math.sqrt(sum(x * x for x in row))
        return [x / length for x in row]

    best: dict[int, float] = {}
    for j in mates:
        if j != i and trusted[j]:
            cosine = sum(a * b for a, b in zip(centred(i), centred(j), strict=True))
            best[proxies[j]] = max(cosine, best.get(proxies[j], -2.0))
    return best


def looped_agreement(features: list[list[float]], proxies: list[int], cameras: list[int]) -> list[tuple[float, int]]:
    """Level and number of compared proxies of each image, one image after the other."""
    result = []
    for i, proxy in enumerate(proxies):
        best = looped_similarities(i, features, proxies, cameras, [True] * len(proxies))
        people = len({other for other in proxies if cameras[other] == cameras[proxy]})
        if proxy not in best or people == 1:
            result.append((1.0, 0))
        else:
            below = sum(cosine < best[proxy] for cosine in best.values())
            result.append(((1 + below) / people, people))
    return result


def looped_level(levels: list[float], steps: list[int], share: float) -> float:
    """The observed level with the largest 3 * wrong - right, by trying all; 0 if none is above 0."""
    best, found = 0.0, 0.0
    for candidate in sorted(set(levels)):
        wrong = share * sum(math.floor(candidate * n + 1e-9) / n for n in steps)
        right = sum(level <= candidate for level in levels) - wrong
        if 3 * wrong - right > best + 1e-12:
            best, found = 3 * wrong - right, candidate
    return found


SIZES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=3)
"""Images of each proxy of each camera."""


def drawn(sizes: list[list[int]], rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """(M, 6) random unit features, (M,) proxies in random order, and the camera of every proxy."""
    cameras = [camera for camera, proxies in enumerate(sizes) for _ in proxies]
    counts = [count for proxies in sizes for count in proxies]
    proxies = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    proxies = proxies[torch.randperm(len(proxies), generator=rng)]
    features = F.normalize(torch.randn(len(proxies), 6, generator=rng, dtype=torch.float64), dim=1)
    return features, proxies, cameras


@given(sizes=SIZES, rows_at_once=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_agreement_equals_loops(sizes: list[list[int]], rows_at_once: int, seed: int) -> None:
    features, proxies, cameras = drawn(sizes, torch.Generator().manual_seed(seed))
    before = features.clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
        found = label_agreement(features, proxies, torch.tensor(cameras))
    slow = looped_agreement(features.tolist(), proxies.tolist(), cameras)
    assert found.steps.tolist() == [steps for _, steps in slow]
    assert found.level.tolist() == pytest.approx([level for level, _ in slow])
    assert torch.equal(features, before)


@given(st.lists(st.tuples(st.integers(2, 7), st.integers(1, 7)), min_size=1, max_size=30), st.floats(0, 1))
def test_level_equals_trying_all(drawn: list[tuple[int, int]], share: float) -> None:
    steps = [n for n, _ in drawn]
    levels = [min(rank, n) / n for n, rank in drawn]
    agreement = Agreement(torch.tensor(levels, dtype=torch.float64), torch.tensor(steps))
    expected = looped_level(levels, steps, share)
    found = highest_level(agreement, share)

    def gain(level: float) -> float:
        wrong = share * sum(math.floor(level * n + 1e-9) / n for n in steps)
        return 4 * wrong - sum(each <= level for each in levels)

    assert gain(found) == pytest.approx(gain(expected), abs=1e-9)  # two levels may be equally good


def test_share_of_an_example() -> None:
    """Four proxies: of ranks 1 to 4 once each half lies at or below 2; all wrong. Rank 4 only: none."""
    steps = torch.tensor([4, 4, 4, 4])
    assert wrong_share(Agreement(torch.tensor([0.25, 0.5, 0.75, 1.0]), steps)) == 1.0
    assert wrong_share(Agreement(torch.ones(4), steps)) == 0.0
    assert wrong_share(Agreement(torch.tensor([0.25, 1.0, 1.0, 1.0]), steps)) == 0.5
    assert wrong_share(Agreement(torch.ones(2), torch.zeros(2, dtype=torch.int64))) == 0.0
    assert highest_level(Agreement(torch.ones(2), torch.zeros(2, dtype=torch.int64)), 0.2) == 0.0


@pytest.mark.parametrize("wrong", [0.05, 0.1, 0.2])
def test_wrong_labels_are_found(wrong: float) -> None:
    features, proxies, camera_of_proxy, false = planted(wrong)
    doubts = doubtful_labels(features, proxies, camera_of_proxy)
    true_share = sum(false) / len(false)
    assert doubts.wrong_share == pytest.approx(true_share, abs=0.05)
    left_out = ~doubts.kept
    is_false = torch.tensor(false)
    assert int((left_out & is_false).sum()) >= 0.8 * int(is_false.sum())
    assert int((left_out & is_false).sum()) >= 0.7 * int(left_out.sum())


def test_clean_labels_are_all_kept() -> None:
    features, proxies, camera_of_proxy, _ = planted(0)
    doubts = doubtful_labels(features, proxies, camera_of_proxy)
    assert bool(doubts.kept.all())
    assert doubts.wrong_share == 0


def test_poor_features_leave_nothing_out() -> None:
    _, proxies, camera_of_proxy, _ = planted(0)
    noise = F.normalize(torch.randn(len(proxies), 32, generator=torch.Generator().manual_seed(1)), dim=1)
    doubts = doubtful_labels(noise, proxies, camera_of_proxy)
    assert bool(doubts.kept.all())
    assert doubts.wrong_share > 0.8


def test_every_proxy_keeps_its_best_image() -> None:
    """All images of proxy 0 carry people of other proxies: one of them stays."""
    features, proxies, camera_of_proxy, _ = planted(0.1)
    own = (proxies == 0).nonzero()[:, 0]
    features[own] = features[(proxies >= 20).nonzero()[: len(own), 0] + torch.arange(len(own)) * IMAGES]
    doubts = doubtful_labels(features, proxies, camera_of_proxy)
    assert doubts.kept[own].sum() == 1
    levels = label_agreement(features, proxies, camera_of_proxy).level[own]
    assert levels[doubts.kept[own]] == levels.max()
    assert torch.equal(proxies[doubts.kept].unique(), proxies.unique())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    features, proxies, camera_of_proxy, _ = planted(0.1)
    usual = doubtful_labels(features, proxies, camera_of_proxy)
    found = doubtful_labels(features.to(dtype), proxies, camera_of_proxy)
    assert (found.kept == usual.kept).float().mean() > 0.98
    assert found.wrong_share == pytest.approx(usual.wrong_share, abs=0.02)
