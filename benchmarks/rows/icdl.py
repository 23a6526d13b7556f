"""One step of intra-camera learning: forward, backward and the memory's update."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.problems import STEP_SIZES, batch_of, near, proxies
from benchmarks.row import Row
from ccafl_plugin.losses import HybridMemory, ICDLLoss

TEMPERATURE, WEIGHT_LAMBDA, MARGIN, MOMENTUM = 0.05, 0.6, 0.3, 0.1
SLOTS = 32


class Problem(NamedTuple):
    memory: HybridMemory
    features: Tensor  # (B, D)
    labels: Tensor  # (B,) proxies, on the CPU


def prepare(proxies_: int, dim: int, batch: int, device: str) -> Problem:
    """A memory of random features; a batch of eight images of each of its proxies."""
    problem = proxies(proxies_, cameras=6, dim=dim)
    generator = torch.Generator().manual_seed(1)
    memory = HybridMemory(problem.cameras.bincount(), dim, SLOTS, MOMENTUM)
    for some in torch.arange(proxies_).split(256):
        memory.instances[some] = near(problem.features[some][:, None].expand(-1, SLOTS, -1), generator)
    memory.centroids.copy_(problem.features)
    features, labels = batch_of(problem, batch, generator)
    return Problem(memory.to(device), features.to(device).requires_grad_(), labels)


def ours(problem: Problem) -> dict[str, Tensor]:
    problem.features.grad = None
    loss = ICDLLoss(WEIGHT_LAMBDA, TEMPERATURE, MARGIN)(problem.features, problem.memory, problem.labels).total
    loss.backward()
    problem.memory.update(problem.features, problem.labels)
    return result(problem, loss)


def usual(problem: Problem) -> dict[str, Tensor]:
    """Camera by camera: the rows of its proxies are gathered, all else is autograd's."""
    memory, features, labels = problem.memory, problem.features, problem.labels.to(problem.features.device)
    features.grad = None
    loss = features.new_zeros(())
    for camera in memory.camera_of_proxy[labels].unique():
        here = memory.camera_of_proxy[labels] == camera
        of_camera = memory.camera_of_proxy == camera
        f, local = features[here], labels[here] - memory.offsets[camera]
        unit = F.normalize(f, dim=1)
        centroids, instances = memory.centroids[of_camera], memory.instances[of_camera]
        loss = loss + WEIGHT_LAMBDA * F.cross_entropy(unit @ centroids.T / TEMPERATURE, local)
        similarity = (unit @ instances.flatten(0, 1).T).view(len(f), -1, SLOTS)
        is_own = F.one_hot(local, len(centroids)).bool()
        hardest = torch.where(is_own, similarity.min(2).values, similarity.max(2).values)
        loss = loss + (1 - WEIGHT_LAMBDA) * F.cross_entropy(hardest / TEMPERATURE, local)
        loss = loss + triplet(f, centroids, is_own) + triplet(f, f, local[:, None] == local)
    loss.backward()
    update(problem, labels)
    return result(problem, loss)


def triplet(anchors: Tensor, others: Tensor, is_positive: Tensor) -> Tensor:
    squared = anchors.square().sum(1, keepdim=True) + others.square().sum(1) - 2 * anchors @ others.T
    distances = squared.clamp(min=1e-12).sqrt()
    farthest = distances.masked_fill(~is_positive, -float("inf")).max(1).values
    nearest = distances.masked_fill(is_positive, float("inf")).min(1).values
    return F.relu(farthest - nearest + MARGIN).mean()


@torch.no_grad()
def update(problem: Problem, labels: Tensor) -> None:
    memory, features = problem.memory, problem.features
    for proxy in labels.unique():
        of_proxy = features[labels == proxy]
        moved = MOMENTUM * memory.centroids[proxy] + (1 - MOMENTUM) * of_proxy.mean(0)
        memory.centroids[proxy] = F.normalize(moved, dim=0)
        memory.instances[proxy, : len(of_proxy)] = of_proxy


def result(problem: Problem, loss: Tensor) -> dict[str, Tensor]:
    """A step changes the memory, so only the first step's results are compared."""
    return {"loss": loss, "gradient": problem.features.grad, "centroids": problem.memory.centroids}


def bound(problem: Problem) -> dict[str, Tensor]:
    """The product of each camera's images with its instances."""
    memory, total = problem.memory, 0.0
    for part in memory.split(problem.labels):
        instances = memory.instances[part.of_camera].flatten(0, 1)
        total = total + (instances @ problem.features.detach()[part.rows].T)[0, 0]
    return {"nothing": total}


ROW = Row(
    name="icdl",
    title="ICDL step, Market-1501's memory (3262 x 33 x 2048), batch 128",
    usual_title="plain PyTorch, a camera's rows gathered",
    sizes=STEP_SIZES,
    prepare=prepare,
    usual=usual,
    ours=ours,
    bound=bound,
    tolerance=1e-4,
    on_gpu=True,
)
