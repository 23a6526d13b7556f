"""The memories: how they are filled, split by camera and updated."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.losses import ClusterMemory, HybridMemory
from ccafl_plugin.utils.errors import CCAFLError
from tests.losses.problems import labels, unit_rows

sizes = st.lists(st.integers(1, 4), min_size=1, max_size=4)
seeds = st.integers(0, 2**31)


def hybrid(proxies_per_camera: list[int], dim: int = 4, instances: int = 3, seed: int = 0) -> HybridMemory:
    """A filled memory: every proxy has one to three images, in random order."""
    memory = HybridMemory(proxies_per_camera, dim, instances).double()
    features, proxies = training_set(sum(proxies_per_camera), dim, seed)
    memory.fill(features, proxies, torch.Generator().manual_seed(seed))
    return memory


def training_set(num_proxies: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    proxies = torch.cat([torch.arange(num_proxies), labels(2 * num_proxies, num_proxies, seed)])
    order = torch.randperm(len(proxies), generator=torch.Generator().manual_seed(seed))
    return unit_rows(len(proxies), dim, seed=seed), proxies[order]


@given(proxies_per_camera=sizes, seed=seeds)
def test_numbering(proxies_per_camera: list[int], seed: int) -> None:
    memory = HybridMemory(torch.tensor(proxies_per_camera), dim=2)
    expected = [(camera, y) for camera, size in enumerate(proxies_per_camera) for y in range(size)]
    assert memory.camera_of_proxy.tolist() == [camera for camera, _ in expected]
    for camera, offset in enumerate(memory.offsets.tolist()):
        proxies = range(len(expected))[memory.camera_slice(camera)]
        assert [expected[g][0] for g in proxies] == [camera] * proxies_per_camera[camera]
        assert proxies[0] == offset

    batch = labels(6, len(expected), seed)
    found = {}
    for part in memory.split(batch):
        assert part.rows.tolist() == sorted(part.rows.tolist())
        found.update({row: (part.camera, y) for row, y in zip(part.rows.tolist(), part.local.tolist(), strict=True)})
    assert found == {row: expected[g] for row, g in enumerate(batch.tolist())}
    assert [part.camera for part in memory.split(batch)] == sorted({expected[g][0] for g in batch.tolist()})
    assert memory.split(batch[:0]) == []


@given(proxies_per_camera=sizes, seed=seeds)
def test_fill(proxies_per_camera: list[int], seed: int) -> None:
    memory = hybrid(proxies_per_camera, seed=seed)
    features, proxies = training_set(sum(proxies_per_camera), 4, seed)
    for g, (centroid, slots) in enumerate(zip(memory.centroids, memory.instances, strict=True)):
        own = [row for row, its in zip(features, proxies.tolist(), strict=True) if its == g]
        mean = sum(own) / len(own)
        torch.testing.assert_close(centroid, mean / mean.norm())
        assert all(any(torch.equal(slot, row) for row in own) for slot in slots)


def test_the_draw_is_even_and_repeatable() -> None:
    memory = HybridMemory([2], dim=3, instances=6000)
    features, proxies = torch.eye(3)[[0, 1, 2, 0]], torch.tensor([0, 0, 0, 1])
    memory.fill(features, proxies, torch.Generator().manual_seed(5))
    shares = memory.instances[0].mean(0)
    assert (shares - 1 / 3).abs().max() < 0.03
    first = memory.instances.clone()
    memory.fill(features, proxies, torch.Generator().manual_seed(6))
    assert not torch.equal(memory.instances, first)
    state = torch.get_rng_state()
    memory.fill(features, proxies, torch.Generator().manual_seed(5))
    assert torch.equal(memory.instances, first)
    assert torch.equal(torch.get_rng_state(), state)


def test_fill_in_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = hybrid([5, 4, 2])
    monkeypatch.setattr("ccafl_plugin.losses.memory.COPIED_AT_ONCE", 4)
    assert torch.equal(hybrid([5, 4, 2]).instances, whole.instances)


def slow_hybrid_update(memory: HybridMemory, features: Tensor, proxies: list[int]) -> tuple[Tensor, Tensor]:
    centroids, instances = memory.centroids.clone(), memory.instances.clone()
    for g in set(proxies):
        own = [row for row, its in zip(features, proxies, strict=True) if its == g]
        moved = memory.momentum * centroids[g] + (1 - memory.momentum) * sum(own) / len(own)
        centroids[g] = moved / moved.norm()
        for slot, row in enumerate(own):
            instances[g, slot] = row
    return centroids, instances


@given(proxies_per_camera=sizes, batch=st.integers(0, 8), seed=seeds)
def test_hybrid_update_equals_loops(proxies_per_camera: list[int], batch: int, seed: int) -> None:
    memory = hybrid(proxies_per_camera, instances=8, seed=seed)
    features, proxies = unit_rows(batch, 4, seed=seed + 1), labels(batch, sum(proxies_per_camera), seed)
    centroids, instances = slow_hybrid_update(memory, features, proxies.tolist())
    before = features.clone()
    memory.update(features.requires_grad_(), proxies)
    torch.testing.assert_close(memory.centroids, centroids)
    assert torch.equal(memory.instances, instances)
    assert not memory.instances.requires_grad
    assert torch.equal(features, before)


def slow_cluster_update(memory: ClusterMemory, features: Tensor, names: list[int]) -> Tensor:
    centroids = memory.centroids.clone()
    for k in set(names) - {-1}:
        own = [row for row, its in zip(features, names, strict=True) if its == k]
        similar = [float((row * memory.centroids[k]).sum()) for row in own]
        moved = memory.momentum * memory.centroids[k] + (1 - memory.momentum) * own[similar.index(min(similar))]
        centroids[k] = moved / moved.norm()
    return centroids


@given(clusters=st.integers(1, 5), batch=st.integers(0, 9), momentum=st.sampled_from([0.0, 0.1, 1.0]), seed=seeds)
def test_cluster_update_equals_loops(clusters: int, batch: int, momentum: float, seed: int) -> None:
    memory = ClusterMemory(clusters, 4, momentum).double()
    memory.centroids.copy_(unit_rows(clusters, 4, seed=seed))
    features, names = unit_rows(batch, 4, seed=seed + 1), labels(batch, clusters, seed, lowest=-1)
    expected, before = slow_cluster_update(memory, features, names.tolist()), features.clone()
    memory.update(features.requires_grad_(), names)
    torch.testing.assert_close(memory.centroids, expected)
    assert torch.equal(features, before)


def test_cluster_update_takes_the_first_of_equally_hard_images() -> None:
    memory = ClusterMemory(1, 2, momentum=0.0)
    memory.centroids.copy_(torch.tensor([[1.0, 0.0]]))
    memory.update(torch.tensor([[0.8, 0.6], [0.6, -0.8], [0.6, 0.8]]), torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(memory.centroids, torch.tensor([[0.6, -0.8]]))


def test_cluster_fill() -> None:
    memory = ClusterMemory(2, 2)
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    memory.fill(features, torch.tensor([1, 1, -1, 0]))
    half = 0.5**0.5
    torch.testing.assert_close(memory.centroids, torch.tensor([[-1.0, 0.0], [half, half]]))


def test_cluster_memory_of_features() -> None:
    features, names = unit_rows(9, 4).float(), torch.tensor([0, 2, -1, 1, 1, -1, 0, 2, 2])
    memory = ClusterMemory(3, 4, 0.3)
    memory.fill(features, names)
    made = ClusterMemory.of(features, names, 0.3)
    assert torch.equal(made.centroids, memory.centroids)
    assert made.momentum == memory.momentum
    with pytest.raises(CCAFLError, match="at least one cluster"):
        ClusterMemory.of(features, torch.full((9,), -1))


def test_buffers_are_not_saved() -> None:
    assert not HybridMemory([2, 1], 4).state_dict()
    assert not ClusterMemory(2, 4).state_dict()
    assert {name for name, _ in HybridMemory([2, 1], 4).named_buffers()} == {
        "centroids", "instances", "camera_of_proxy", "offsets"
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features(dtype: torch.dtype) -> None:
    memory, clusters = HybridMemory([2, 1], 8, instances=2), ClusterMemory(2, 8)
    features, proxies = unit_rows(6, 8).to(dtype), torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        memory.fill(features, proxies)
        memory.update(features, proxies)
        clusters.fill(features, proxies.clamp(max=1))
        clusters.update(features, proxies.clamp(max=1))
    for rows in (memory.centroids, clusters.centroids):
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
    torch.testing.assert_close(memory.instances[0], features[[0, 3]].float())


def test_errors() -> None:
    memory = HybridMemory([2, 1], 4, instances=2)
    with pytest.raises(CCAFLError, match="proxy 1 has 3 images in a batch, but the memory has 2"):
        memory.update(unit_rows(4, 4).float(), torch.tensor([0, 1, 1, 1]))
    with pytest.raises(CCAFLError, match=r"proxies must lie in \[0, 3\), got 0 to 3"):
        memory.update(unit_rows(2, 4).float(), torch.tensor([0, 3]))
    with pytest.raises(CCAFLError, match="got -1 to 0"):
        memory.split(torch.tensor([0, -1]))
    with pytest.raises(CCAFLError, match="group 1 of 3 has no row"):
        memory.fill(unit_rows(2, 4).float(), torch.tensor([0, 2]))
    with pytest.raises(CCAFLError, match=r"labels must lie in \[-1, 2\)"):
        ClusterMemory(2, 4).update(unit_rows(1, 4).float(), torch.tensor([2]))
    with pytest.raises(CCAFLError, match="group 0 of 2 has no row"):
        ClusterMemory(2, 4).fill(unit_rows(2, 4).float(), torch.tensor([-1, 1]))
    for sizes in ([], [2, 0]):
        with pytest.raises(CCAFLError, match="at least one camera"):
            HybridMemory(sizes, 4)
    with pytest.raises(CCAFLError, match="at least one cluster"):
        ClusterMemory(0, 4)
    for momentum in (-0.1, 1.1):
        with pytest.raises(CCAFLError, match="momentum"):
            HybridMemory([1], 4, momentum=momentum)
        with pytest.raises(CCAFLError, match="momentum"):
            ClusterMemory(1, 4, momentum)
