"""Memories are split and written without waiting for a device, as long as labels are on the host."""

from __future__ import annotations

import pytest
import torch

from ccafl_plugin.losses import ClusterMemory, HybridMemory, ICDLLoss
from tests.waiting import NoWaiting


def test_what_waits_is_found() -> None:
    there, labels = torch.zeros(4, 3, device="meta"), torch.tensor([0, 2])
    with NoWaiting():
        assert labels.to("meta", non_blocking=True).is_meta
        assert (there[labels.to("meta", non_blocking=True)] + 1).is_meta
        for waits in (lambda: labels.to("meta"), lambda: there[labels], lambda: there[:2].copy_(torch.zeros(2, 3))):
            with pytest.raises(AssertionError, match=r"waits for the device|still on the host"):
                waits()
        for needs_numbers in (
            lambda: there.sum().item(),
            lambda: there.tolist(),
            lambda: there.cpu(),
            lambda: bool((there > 0).any()),
            lambda: there[there > 0],
            lambda: there.nonzero(),
            lambda: there.unique(),
        ):
            with pytest.raises((RuntimeError, NotImplementedError), match=r"(?i)meta"):
                needs_numbers()


def test_hybrid_memory() -> None:
    memory = HybridMemory([3, 2], dim=4, instances=2).to("meta")
    features, proxies = torch.zeros(4, 4, device="meta"), torch.tensor([4, 0, 0, 3])
    with NoWaiting():
        parts = memory.split(proxies)
        memory.update(features, proxies)
    assert [(part.camera, part.rows.is_meta, len(part.local)) for part in parts] == [(0, True, 2), (1, True, 2)]


def test_icdl() -> None:
    memory = HybridMemory([3, 2, 1], dim=4, instances=2).to("meta")
    features = torch.zeros(5, 4, device="meta", requires_grad=True)
    images, texts = torch.zeros(5, 3, device="meta", requires_grad=True), torch.zeros(6, 3, device="meta")
    with NoWaiting():
        ICDLLoss()(features, memory, torch.tensor([4, 0, 0, 3, 5]), images, texts).total.backward()
    assert features.grad.is_meta
    assert images.grad.is_meta


def test_cluster_memory() -> None:
    memory = ClusterMemory(3, dim=4).to("meta")
    with NoWaiting():
        memory.update(torch.zeros(4, 4, device="meta"), torch.tensor([2, -1, 2, 0]))
