"""One step of the proxy classifier and of the adversarial loss, forward and backward."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.problems import STEP_SIZES, batch_of, proxies
from benchmarks.row import Row
from ccafl_plugin.losses import ICALLoss, ProxyClassifier

SCALE, MARGIN, HARDNESS, SMOOTHING = 16.0, 0.7, 0.2, 0.8


class Problem(NamedTuple):
    classifier: ProxyClassifier
    features: Tensor  # (B, D) unit rows
    labels: Tensor  # (B,) proxies
    cameras: Tensor  # (N,) of the proxies
    pseudo: Tensor  # (N,) of the proxies


def prepare(proxies_: int, dim: int, batch: int, device: str) -> Problem:
    problem = proxies(proxies_, cameras=6, dim=dim)
    generator = torch.Generator().manual_seed(1)
    features, labels = batch_of(problem, batch, generator)
    classifier = ProxyClassifier(proxies_, dim, SCALE, generator)
    with torch.no_grad():
        classifier.weight.add_(problem.features)
    return Problem(
        classifier.to(device),
        features.to(device).requires_grad_(),
        *(given.to(device) for given in (labels, problem.cameras, problem.pseudo)),
    )


def ours(problem: Problem) -> dict[str, Tensor]:
    problem.features.grad = problem.classifier.weight.grad = None
    own = problem.classifier(problem.features, problem.labels)
    own.backward()
    loss = ICALLoss(SCALE, MARGIN, HARDNESS, SMOOTHING)(
        problem.features, problem.classifier.weight, problem.labels, problem.cameras, problem.pseudo
    )
    loss.backward()
    return result(problem, own, loss)


def usual(problem: Problem) -> dict[str, Tensor]:
    """Cross-entropy over all proxies; then image by image as the loss is written."""
    features, weight, labels = problem.features, problem.classifier.weight, problem.labels
    features.grad = weight.grad = None
    own = F.cross_entropy(SCALE * features.detach() @ F.normalize(weight, dim=1).T, labels)
    own.backward()
    cosines = (features @ F.normalize(weight.detach(), dim=1).T).clamp(-1, 1)
    losses = [one_image(problem, cosines[i], g) for i, g in enumerate(labels.tolist()) if problem.pseudo[g] >= 0]
    loss = torch.stack(losses).mean()
    loss.backward()
    return result(problem, own, loss)


def one_image(problem: Problem, cosines: Tensor, g: int) -> Tensor:
    same_camera = problem.cameras == problem.cameras[g]
    partners = (problem.pseudo == problem.pseudo[g]) & ~same_camera
    similarity = torch.where(same_camera, (1 + HARDNESS) * cosines + HARDNESS, cosines)
    sine = (1 - cosines[g].square()).clamp(min=1e-6).sqrt()
    shifted = cosines[g] * math.cos(MARGIN) - sine * math.sin(MARGIN)
    beyond = cosines[g] - MARGIN * math.sin(MARGIN)
    similarity = similarity.index_put(
        (torch.tensor(g, device=cosines.device),), torch.where(cosines[g] > math.cos(math.pi - MARGIN), shifted, beyond)
    )
    positive = partners.clone()
    positive[g] = True
    negatives = (SCALE * similarity[~positive]).logsumexp(0)
    total, count = cosines.new_zeros(()), int(positive.sum())
    for j in positive.nonzero()[:, 0].tolist():
        share = (1 - SMOOTHING) * (j == g) + SMOOTHING / count
        total = total - share * (SCALE * similarity[j] - torch.logaddexp(negatives, SCALE * similarity[j]))
    return total


def result(problem: Problem, own: Tensor, loss: Tensor) -> dict[str, Tensor]:
    return {
        "losses": torch.stack([own, loss]),
        "by features": problem.features.grad,
        "by weight": problem.classifier.weight.grad,
    }


def bound(problem: Problem) -> dict[str, Tensor]:
    """Two products forward; one backward to the weight, one to the features."""
    features, weight = problem.features.detach(), problem.classifier.weight.detach()
    first, second = features @ weight.T, features @ weight.T
    by_weight, by_features = first.T @ features, second @ weight
    return {"nothing": by_weight[0, 0] + by_features[0, 0]}


ROW = Row(
    name="ical",
    title="ICAL and proxy classifier step, 3262 proxies x 2048, batch 128",
    usual_title="plain PyTorch, a loop over the batch",
    sizes=STEP_SIZES,
    prepare=prepare,
    usual=usual,
    ours=ours,
    bound=bound,
    tolerance=1e-4,
    on_gpu=True,
)
