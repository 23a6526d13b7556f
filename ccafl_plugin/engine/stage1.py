"""Stage 1: one learnable prompt per proxy, trained against frozen image features (paper, Sec. III-B)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ccafl_plugin.losses import prompt_contrast
from ccafl_plugin.models.prompts import PromptLearner, TextEncoder
from ccafl_plugin.optim import half_cosine
from ccafl_plugin.utils.errors import WrongArgument, unknown_name
from ccafl_plugin.utils.paper_values import PROMPT_AND_CLASSIFIER_LR
from ccafl_plugin.utils.progress import Progress
from ccafl_plugin.utils.ranges import check_arguments
from ccafl_plugin.utils.seeds import generator

SCOPES = ("camera", "person")
"""Values of :attr:`PromptStage.scope`."""


@dataclass(frozen=True)
class PromptStage:
    """Settings of stage 1; the defaults are the paper's.

    Attributes:
        epochs: passes over all training images.
        batch_size: random images per step.
        lr: Adam's peak learning rate.
        weight_decay: Adam's weight decay.
        warmup_epochs: epochs of linear warm-up from ``warmup_lr``.
        warmup_lr: learning rate in the first epoch of the warm-up.
        final_lr: learning rate at the end of the cosine.
        scope: ``camera``: images are compared inside their camera, with one prompt per proxy. ``person``: images are
            compared in the whole batch, with one prompt per person; this reads identities across cameras, so it needs
            full supervision.

    Raises:
        CCAFLError: a number out of range, or an unknown scope.
    """

    epochs: int = 60
    batch_size: int = 64
    lr: float = PROMPT_AND_CLASSIFIER_LR
    weight_decay: float = 1e-4
    warmup_epochs: int = 5
    warmup_lr: float = 1e-5
    final_lr: float = 1e-6
    scope: str = "camera"

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise unknown_name("{scope}", self.scope, SCOPES)
        check_arguments(**{name: value for name, value in vars(self).items() if name != "scope"})

    def check_supervision(self, is_full: bool) -> None:
        """Checks that prompts per person are only used with full supervision.

        Args:
            is_full: whether identities across cameras may be read.

        Raises:
            CCAFLError: the scope is ``person`` without full supervision.
        """
        if self.scope == "person" and not is_full:
            raise WrongArgument(
                "{scope}: 'person' reads identities across cameras. Set {supervision} full, or {scope} camera."
            )

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        if epoch < self.warmup_epochs:
            return self.warmup_lr + (self.lr - self.warmup_lr) * epoch / self.warmup_epochs
        return half_cosine(self.lr, self.final_lr, epoch / self.epochs)


def learn_prompts(
    prompts: PromptLearner,
    text_encoder: TextEncoder,
    embeddings: Tensor,
    prompt_of_image: Tensor,
    cameras: Tensor | None,
    stage: PromptStage,
    seed: int,
    report: Callable[[int, float, float, float], None] | None = None,
) -> None:
    """Trains the prompts in place; only they have a gradient.

    Args:
        prompts: one prompt per proxy (or person).
        text_encoder: CLIP's frozen text encoder.
        embeddings: (M, E) float32, image features of all training images.
        prompt_of_image: (M,) int64, the prompt of each image; best on the CPU, where batches are grouped, so that no
            step waits for a GPU.
        cameras: (M,) int64; images are compared inside a camera. None: they are compared in the whole batch.
        stage: settings of stage 1.
        seed: seed of the run.
        report: called after every epoch with (epoch, mean loss, learning rate, seconds).
    """
    on_host, device = prompt_of_image.cpu(), embeddings.device
    prompt_of_image = on_host.to(device, non_blocking=True)
    cameras = None if cameras is None else cameras.to(device, non_blocking=True)
    optimizer = torch.optim.Adam(prompts.parameters(), lr=stage.lr, weight_decay=stage.weight_decay)
    with Progress(stage.epochs * len(embeddings), "images", "Stage 1") as progress:
        for epoch in range(stage.epochs):
            started = time.time()
            rate = stage.learning_rate(epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate
            order = torch.randperm(len(embeddings), generator=generator(seed, epoch, "stage 1"))
            on_device = order.to(device, non_blocking=True)
            total = embeddings.new_zeros(())
            for images, batch in zip(order.split(stage.batch_size), on_device.split(stage.batch_size), strict=True):
                text = prompts(on_host[images], text_encoder)  # encodes each prompt once
                labels = prompt_of_image[batch]
                loss = prompt_contrast(embeddings[batch], text, labels, None if cameras is None else cameras[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(batch)
                progress.add(len(batch))
            if report is not None:
                report(epoch, total.item() / len(embeddings), rate, time.time() - started)
