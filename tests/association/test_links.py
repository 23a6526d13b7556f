"""What holds groups together, against loops over pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.association import ASSOCIATIONS, GroupLinks, associate, associate_with_links, links
from ccafl_plugin.utils.errors import CCAFLError
from tests.association.test_margin import draw, slow_margins


def slow_links(
    pseudo: list[int], cameras: list[int], margins: dict[tuple[int, int], float]
) -> tuple[list[tuple[int, int]], list[float]]:
    """Links of all groups by Prim's rule, sorted, and the mean margin of every proxy (NaN for none)."""
    inside = {pair: value for pair, value in margins.items() if pseudo[pair[0]] == pseudo[pair[1]] >= 0}
    tree = []
    for group in sorted(set(pseudo) - {-1}):
        members = [proxy for proxy, number in enumerate(pseudo) if number == group]
        reached, left = {members[0]}, set(members[1:])
        while left:
            offers = [
                (inside[min(a, b), max(a, b)], a, b) for a in reached for b in left if (min(a, b), max(a, b)) in inside
            ]
            if not offers:
                break
            _, a, b = max(offers)
            tree.append((min(a, b), max(a, b)))
            reached.add(b)
            left.remove(b)
    means = []
    for proxy in range(len(cameras)):
        of_proxy = [value for pair, value in inside.items() if proxy in pair]
        means.append(sum(of_proxy) / len(of_proxy) if of_proxy else float("nan"))
    return sorted(tree), means


def check(found: GroupLinks, pseudo: torch.Tensor, features: np.ndarray, cameras: list[int], best: int = 2) -> None:
    margins = slow_margins(features, cameras, best)
    tree, means = slow_links(pseudo.tolist(), cameras, margins)
    assert sorted(zip(found.first.tolist(), found.second.tolist(), strict=True)) == tree
    expected = [margins[pair] for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)]
    np.testing.assert_allclose(found.confidence, expected, atol=1e-12)
    np.testing.assert_allclose(found.of_proxy, means, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ASSOCIATIONS))
@given(n=st.integers(0, 24), cameras=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_equal_loops_over_pairs(name: str, n: int, cameras: int, seed: int) -> None:
    features, seen_by = draw("people", n, 6, cameras, seed)
    pseudo, found = associate_with_links(torch.from_numpy(features), torch.tensor(seen_by), name)
    assert torch.equal(pseudo, associate(torch.from_numpy(features), torch.tensor(seen_by), name))
    check(found, pseudo, features, seen_by)
    assert (np.abs(found.cosine) <= 1 + 1e-12).all()


def test_options_count_for_confidences_too() -> None:
    features, seen_by = draw("people", 40, 6, 4, 1)
    pseudo, found = associate_with_links(torch.from_numpy(features), torch.tensor(seen_by), "margin", best=4)
    check(found, pseudo, features, seen_by, best=4)


def test_a_clear_pair_has_the_gap_to_the_next_best_as_its_confidence() -> None:
    """Two people in two cameras: each one's best match is exact, the other is at cosine -1 after standardising."""
    features = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    pseudo, found = associate_with_links(features, torch.tensor([0, 0, 1, 1]))
    assert pseudo.tolist() == [0, 1, 0, 1]
    assert found.first.tolist() == [0, 1] and found.second.tolist() == [2, 3]
    np.testing.assert_allclose(found.cosine, 1)
    np.testing.assert_allclose(found.confidence, 2)  # 1 - (-1)
    np.testing.assert_allclose(found.of_proxy, 2)


def test_large_groups_are_held_by_best_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk through nearly all pairs chains many proxies into one group."""
    features, seen_by = draw("people", 60, 6, 3, 2)
    given = torch.from_numpy(features), torch.tensor(seen_by)
    pseudo, whole = associate_with_links(*given, "nearest_pairs", rate=3.0)
    assert pseudo[pseudo >= 0].bincount().max() > 4
    monkeypatch.setattr(links, "LARGE", 4)
    again, found = associate_with_links(*given, "nearest_pairs", rate=3.0)
    assert torch.equal(again, pseudo)
    assert 0 < len(found.first) <= len(whole.first)
    margins = slow_margins(features, seen_by)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert all(pseudo[a] == pseudo[b] >= 0 and seen_by[a] != seen_by[b] for a, b in pairs)
    np.testing.assert_allclose(found.confidence, [margins[pair] for pair in pairs], atol=1e-12)


def test_errors_are_those_of_associate() -> None:
    with pytest.raises(CCAFLError, match="Did you mean 'margin'"):
        associate_with_links(torch.eye(3), torch.arange(3), "margins")
    with pytest.raises(CCAFLError, match="not finite"):
        associate_with_links(torch.eye(3) / 0, torch.arange(3))
