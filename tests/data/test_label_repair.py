"""New labels for images with wrong ones: against loops, and on planted wrong labels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from ccafl_plugin.data import label_repair as module
from ccafl_plugin.data.label_agreement import doubtful_labels
from ccafl_plugin.data.label_repair import named_proxies, repaired_labels, smallest_lead
from tests.data.test_label_agreement import CAMERAS, IMAGES, PEOPLE, SIZES, drawn, looped_similarities, planted


def looped_names(
    features: list[list[float]], proxies: list[int], cameras: list[int], trusted: list[bool]
) -> list[tuple[int, float]]:
    """Name and lead of each image, one image after the other."""
    result = []
    for i in range(len(proxies)):
        best = looped_similarities(i, features, proxies, cameras, trusted)
        order = sorted(best, key=lambda proxy: -best[proxy])
        result.append((order[0], best[order[0]] - best[order[1]]) if len(order) > 1 else (-1, 0.0))
    return result


@given(sizes=SIZES, rows_at_once=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_names_equal_loops(sizes: list[list[int]], rows_at_once: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    features, proxies, cameras = drawn(sizes, rng)
    trusted = torch.rand(len(proxies), generator=rng) < 0.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
        names, leads = named_proxies(features, proxies, torch.tensor(cameras), trusted)
    slow = looped_names(features.tolist(), proxies.tolist(), cameras, trusted.tolist())
    assert names.tolist() == [name for name, _ in slow]
    assert leads.tolist() == pytest.approx([lead for _, lead in slow], abs=1e-5)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40))
def test_lead_equals_trying_all(drawn: list[tuple[int, bool]]) -> None:
    leads = torch.tensor([float(lead) for lead, _ in drawn])
    right = torch.tensor([is_right for _, is_right in drawn], dtype=torch.bool)

    def gain(lead: float) -> int:
        return sum(1 if is_right else -9 for each, is_right in drawn if each >= lead)

    found = smallest_lead(leads, right)
    assert gain(found) == max([gain(lead) for lead, _ in drawn] + [0])
    assert found == math.inf or gain(found) > 0


@pytest.mark.parametrize("wrong", [0.1, 0.2])
def test_planted_wrong_labels_get_the_right_one(wrong: float) -> None:
    features, proxies, camera_of_proxy, false = planted(wrong)
    truth = torch.arange(CAMERAS * PEOPLE).repeat_interleave(IMAGES)
    trusted = doubtful_labels(features, proxies, camera_of_proxy).kept
    found = repaired_labels(features, proxies, camera_of_proxy, trusted)
    assert torch.equal(found[trusted], proxies[trusted])
    repaired = ~trusted & (found >= 0)
    assert int(repaired.sum()) > 0.8 * sum(false)
    assert (found == truth)[repaired].float().mean() > 0.95
    used = found >= 0
    assert (found != truth)[used].float().mean() < 0.2 * wrong


def test_features_without_people_name_nobody() -> None:
    rng = torch.Generator().manual_seed(0)
    proxies = torch.arange(40).repeat_interleave(3)
    features = F.normalize(torch.randn(120, 16, generator=rng), dim=1)
    trusted = torch.rand(120, generator=rng) < 0.9
    found = repaired_labels(features, proxies, torch.zeros(40, dtype=torch.int64), trusted)
    assert torch.equal(found, torch.where(trusted, proxies, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_equal_features(dtype: torch.dtype) -> None:
    """No lead anywhere: nothing is named, and nothing is infinite."""
    proxies = torch.arange(4).repeat_interleave(2)
    features = F.normalize(torch.ones(8, 5, dtype=dtype), dim=1)
    names, leads = named_proxies(features, proxies, torch.zeros(4, dtype=torch.int64), torch.ones(8, dtype=torch.bool))
    assert bool(leads.isfinite().all()) and leads.abs().max() < 1e-3
    assert bool((names >= 0).all())


def test_one_proxy_of_a_camera_keeps_its_images() -> None:
    features = F.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    kept = torch.tensor([True, False, True, True, True])
    found = repaired_labels(features, torch.zeros(5, dtype=torch.int64), torch.tensor([0]), kept)
    assert found.tolist() == [0, -1, 0, 0, 0]
