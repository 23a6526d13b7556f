"""Association by margins, against loops over all pairs and all groups."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ccafl_plugin.association import ASSOCIATIONS, associate, best_matches, blocks
from ccafl_plugin.utils.camera_moments import without_cameras
from ccafl_plugin.utils.errors import CCAFLError


def slow_rows(features: NDArray, cameras: list[int]) -> list[NDArray]:
    if not cameras:
        return []
    x = features.astype(np.float64)
    mu, s2 = x.mean(axis=0), x.var(axis=0)
    rows = []
    for a, camera in enumerate(cameras):
        own = x[[i for i, other in enumerate(cameras) if other == camera]]
        n = len(own)
        mu_c = (n * own.mean(axis=0) + 2 * mu) / (n + 2)
        s2_c = (n * own.var(axis=0) + 2 * s2) / (n + 2)
        row = (x[a] - mu_c) / np.sqrt(s2_c + 1e-12)
        length = math.sqrt(np.sum(row**2))
        rows.append(row / length if length else row)
    return rows


def slow_margins(features: NDArray, cameras: list[int], best: int = 2) -> dict[tuple[int, int], float]:
    """Of all cross-camera pairs a < b."""
    rows = slow_rows(features, cameras)
    proxies = range(len(cameras))

    def s(a: int, b: int) -> float:
        return float(np.sum(rows[a] * rows[b]))

    def m(a: int, camera: int) -> float:
        highest = sorted((s(a, b) for b in proxies if cameras[b] == camera and b != a), reverse=True)[:best]
        return max(sum(highest) / len(highest), highest[-1])

    pairs = [(a, b) for a in proxies for b in proxies if a < b and cameras[a] != cameras[b]]
    return {(a, b): 2 * s(a, b) - (m(a, cameras[b]) + m(b, cameras[a])) for a, b in pairs}


def slow_association(features: NDArray, cameras: list[int], best: int = 2) -> list[int]:
    margins = slow_margins(features, cameras, best)
    groups = [[proxy] for proxy in range(len(cameras))]
    while True:
        offers = []
        for g, h in combinations(sorted(groups), 2):
            if not {cameras[a] for a in g} & {cameras[b] for b in h}:
                between = [margins[min(a, b), max(a, b)] for a in g for b in h]
                offers.append((-math.fsum(between) / len(between), g, h))
        if not offers or min(offers)[0] >= 0:
            break
        _, g, h = min(offers)  # ties: lists compare by their lowest proxies first
        groups = [group for group in groups if group not in (g, h)] + [sorted(g + h)]
    pseudo = [-1] * len(cameras)
    for number, group in enumerate(sorted(group for group in groups if len(group) > 1)):
        for proxy in group:
            pseudo[proxy] = number
    return pseudo


def draw(kind: str, n: int, d: int, cameras: int, seed: int) -> tuple[NDArray, list[int]]:
    rng = np.random.default_rng(seed)
    seen_by = rng.integers(0, cameras, n)
    features = rng.standard_normal((n, d))
    if kind == "people":
        features = rng.standard_normal((n, d))[rng.integers(0, max(1, n // 3), n)] + 0.3 * features
        features += rng.standard_normal((cameras, d))[seen_by]
    elif kind == "duplicates":
        features = features[rng.integers(0, max(1, n // 2), n)]
    elif kind == "coarse":
        features = features.round()
    elif kind == "constant dimensions":
        features[:, : d // 2] = 3
    elif kind == "tiny":
        features *= 1e-25
    elif kind == "far from the origin":
        features += 1e6
    elif kind == "all equal":
        features[:] = 1
    return features, seen_by.tolist()


KINDS = (
    "gaussian",
    "people",
    "duplicates",
    "coarse",
    "constant dimensions",
    "tiny",
    "far from the origin",
    "all equal",
)


@pytest.mark.parametrize("kind", KINDS)
@given(
    n=st.integers(0, 14),
    d=st.integers(1, 6),
    cameras=st.integers(1, 5),
    best=st.integers(2, 5),
    seed=st.integers(0, 2**31),
)
def test_equals_loops_over_pairs_and_groups(kind: str, n: int, d: int, cameras: int, best: int, seed: int) -> None:
    features, seen_by = draw(kind, n, d, cameras, seed)
    before = torch.from_numpy(features), torch.tensor(seen_by, dtype=torch.int64)
    given_features, given_cameras = before[0].clone(), before[1].clone()
    pseudo = associate(given_features, given_cameras, "margin", best=best)
    assert pseudo.dtype == torch.int64
    assert pseudo.tolist() == slow_association(features, seen_by, best)
    assert torch.equal(given_features, before[0])
    assert torch.equal(given_cameras, before[1])


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that make 40 proxies go through many blocks; groups that grow beyond pairs."""
    features, seen_by = draw(kind, 40, 12, 5, 0)
    expected = slow_association(features, seen_by)
    if kind == "people":
        assert np.bincount(np.array(expected) + 1)[1:].max() >= 4
    whole = associate(torch.from_numpy(features), torch.tensor(seen_by), "margin")
    assert whole.tolist() == expected
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 100)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 3)
    monkeypatch.setattr(best_matches, "REFINED_AT_ONCE", 50)
    assert associate(torch.from_numpy(features), torch.tensor(seen_by), "margin").tolist() == expected


@given(n=st.integers(1, 14), d=st.integers(1, 6), cameras=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_features_are_standardised(n: int, d: int, cameras: int, seed: int) -> None:
    features, seen_by = draw("people", n, d, cameras, seed)
    before = features.copy()
    unit = without_cameras(features, np.array(seen_by))
    np.testing.assert_array_equal(unit, slow_rows(features, seen_by))
    if n > 1:
        np.testing.assert_allclose(np.square(unit).sum(axis=1), 1)
    np.testing.assert_array_equal(features, before)


def test_standardising_leaves_nothing_of_equal_features() -> None:
    assert not without_cameras(np.full((4, 3), 0.5), np.array([0, 0, 1, 1])).any()


def test_cameras_biases_do_not_matter() -> None:
    """Four people in three cameras, each camera with a tint and a contrast that outweigh the people."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((4, 32))
    features = np.concatenate([5 * rng.standard_normal(32) + scale * people for scale in (1, 3, 0.5)])
    cameras = torch.arange(3).repeat_interleave(4)
    assert associate(torch.from_numpy(features), cameras, "margin").tolist() == [0, 1, 2, 3] * 3


def test_a_lookalike_stays_alone_and_cameras_may_have_any_number() -> None:
    rng = np.random.default_rng(1)
    people = rng.standard_normal((5, 64))
    lookalike = people[[1]] + 0.3 * rng.standard_normal((1, 64))
    features = np.concatenate([lookalike, people, people]) + 0.1 * rng.standard_normal((11, 64))
    cameras = torch.tensor([70] * 6 + [-3] * 5)
    assert slow_margins(features, cameras.tolist())[0, 7] > 0  # but its camera has a better one
    assert associate(torch.from_numpy(features), cameras, "margin").tolist() == [-1, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_no_group_holds_two_proxies_of_a_camera() -> None:
    features, seen_by = draw("people", 200, 16, 6, 3)
    cameras = torch.tensor(seen_by)
    pseudo = associate(torch.from_numpy(features), cameras, "margin")
    assert int(pseudo.max()) > 20
    for group in range(int(pseudo.max()) + 1):
        members = cameras[pseudo == group]
        assert len(members.unique()) == len(members)


def test_nothing_to_associate() -> None:
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    one_camera = torch.zeros(5, dtype=torch.int64)
    assert associate(features, one_camera, "margin").tolist() == [-1] * 5
    assert associate(features[:1], one_camera[:1], "margin").tolist() == [-1]
    assert associate(features[:0], one_camera[:0], "margin").tolist() == []
    # Single candidates give no evidence, so cameras with one proxy each can't be associated with one another.
    assert associate(features, torch.arange(5), "margin").tolist() == [-1] * 5


def test_more_matches_to_exceed_find_more_pairs() -> None:
    features, seen_by = draw("people", 200, 16, 6, 3)
    found = []
    for best in (2, 4):
        pseudo = associate(torch.from_numpy(features), torch.tensor(seen_by), "margin", best=best)
        counts = pseudo[pseudo >= 0].bincount()
        found.append(int((counts * (counts - 1) // 2).sum()))
    assert found[0] < found[1]


@pytest.mark.parametrize("best", [1, 0, -1])
def test_a_match_has_to_exceed_another(best: int) -> None:
    with pytest.raises(CCAFLError, match=f"best: {best} is out of range, it must be at least 2"):
        associate(torch.eye(4), torch.arange(4), "margin", best=best)


def test_unknown_options() -> None:
    assert "margin" in ASSOCIATIONS
    with pytest.raises(ValueError, match="option of association 'margin': 'rate'"):
        associate(torch.eye(2), torch.arange(2), "margin", rate=1.0)
