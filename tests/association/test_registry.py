"""Associations by name, and what all of them share."""

from __future__ import annotations

import pytest
import torch

from ccafl_plugin.association import ASSOCIATIONS, associate, keep_unassociated, register_association
from ccafl_plugin.association.registry import number_groups
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import in_child, memory_growth


@pytest.mark.parametrize("name", sorted(ASSOCIATIONS))
def test_every_association(name: str) -> None:
    """Numbers from 0 in the order of first proxies, two proxies at least each, whatever order the proxies come in."""
    people = torch.nn.functional.normalize(torch.randn(12, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    features = torch.cat([people, people + 0.01, people - 0.01])
    cameras = torch.arange(3).repeat_interleave(12)
    pseudo = associate(features, cameras, name)
    assert pseudo.dtype == torch.int64
    assert pseudo.shape == (36,)
    kept = pseudo[pseudo >= 0]
    assert len(kept) > 24
    assert list(dict.fromkeys(kept.tolist())) == list(range(int(kept.max()) + 1))
    assert kept.bincount().min() >= 2
    assert torch.equal(associate(features.double(), cameras, name), pseudo)
    shuffled = torch.randperm(36, generator=torch.Generator().manual_seed(1))
    again = associate(features[shuffled], cameras[shuffled], name)
    same = pseudo[shuffled][:, None] == pseudo[shuffled]
    assert torch.equal((again[:, None] == again) & (again >= 0), same & (pseudo[shuffled] >= 0))
    assert associate(features[:0], cameras[:0], name).tolist() == []
    assert associate(features[:12], cameras[:12], name).tolist() == [-1] * 12


@pytest.mark.parametrize("name", sorted(ASSOCIATIONS))
def test_no_matrix_of_all_pairs_is_made(name: str) -> None:
    """A matrix of all pairs in float32 would need 137 MB; one of half of them, without a camera's own, 57 MB."""
    count, dim = 6000, 32

    def associate_and_measure() -> None:
        generator = torch.Generator().manual_seed(0)
        cameras = torch.arange(count) % 6
        people = torch.randn(count // 6, dim, generator=generator).repeat_interleave(6, dim=0)
        features = people + 0.5 * torch.randn(count, dim, generator=generator)
        associate(features[:60], cameras[:60], name)  # imports what it needs
        found: list[torch.Tensor] = []
        grown = memory_growth(lambda: found.append(associate(features, cameras, name)))
        assert int(found[0].max()) > count // 12
        assert grown < 50, grown

    in_child(associate_and_measure)


def test_half_precision_features_are_taken() -> None:
    features = torch.eye(4)[[0, 1, 0, 1]]
    for dtype in (torch.float16, torch.bfloat16):
        assert associate(features.to(dtype), torch.tensor([0, 0, 1, 1]), rate=0.5).tolist() == [0, 1, 0, 1]


def test_errors() -> None:
    features, cameras = torch.eye(3), torch.arange(3)
    with pytest.raises(CCAFLError, match="Did you mean 'nearest_pairs'"):
        associate(features, cameras, "nearest_pair")
    with pytest.raises(CCAFLError, match=r"'rates' is not available\. Did you mean 'rate'"):
        associate(features, cameras, rates=1.0)
    with pytest.raises(CCAFLError, match=r"got \(3, 3\) and \(2,\)"):
        associate(features, cameras[:2])
    with pytest.raises(CCAFLError, match="not finite"):
        associate(features / 0, cameras)


def test_a_new_association_is_one_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccafl_plugin.association.registry.ASSOCIATIONS", ASSOCIATIONS.copy())

    @register_association("everyone")
    def everyone(features: torch.Tensor, cameras: torch.Tensor, offset: int = 0) -> torch.Tensor:
        return torch.full_like(cameras, offset)

    assert associate(torch.eye(3), torch.arange(3), "everyone", offset=2).tolist() == [2, 2, 2]
    with pytest.raises(CCAFLError, match="is already registered"):
        register_association("everyone")(everyone)


def test_keep_unassociated() -> None:
    assert keep_unassociated(torch.tensor([-1, 0, 1, -1, 0])).tolist() == [2, 0, 1, 3, 0]
    assert keep_unassociated(torch.tensor([-1, -1])).tolist() == [0, 1]
    assert keep_unassociated(torch.tensor([0, 0])).tolist() == [0, 0]
    assert keep_unassociated(torch.tensor([], dtype=torch.int64)).tolist() == []
    pseudo = torch.tensor([-1, 0])
    keep_unassociated(pseudo)
    assert pseudo.tolist() == [-1, 0]


def test_number_groups() -> None:
    assert number_groups([0, 1, 2, 1, 0, 5]).tolist() == [0, 1, -1, 1, 0, -1]
    assert number_groups([]).tolist() == []
