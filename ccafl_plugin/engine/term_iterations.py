"""One iteration: the encoder runs once, every active term computes its loss, and one step is made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.checkpointed_engine import CheckpointedEngine
from ccafl_plugin.engine.encoder_pass import EncoderPass
from ccafl_plugin.engine.gradient_check import GradientCheck
from ccafl_plugin.engine.label_filter import LabelFilter
from ccafl_plugin.engine.loss_report import LossReport, check_finite, weighted_losses
from ccafl_plugin.engine.training_input import TrainingInput
from ccafl_plugin.terms import Batch, Term
from ccafl_plugin.utils.stopping import shielded


class TermIterations(CheckpointedEngine):
    """An engine whose loss is a list of terms; torchreid's loop calls it once per batch.

    Attributes:
        labels: cameras and proxies of the training list.
        class_of_proxy: (N,) int64, the class of each proxy for a classifier.
        input: loads training images and augments them.
        encoder: runs the model in training, with its precision and parts.
        gradients: skips and counts steps whose gradients are not finite.
        label_filter: judges labels by features; None: all images are used with their labels.
        active_terms: the active terms of this epoch, each behind those it needs.
    """

    labels: ProxyLabels
    class_of_proxy: Tensor
    input: TrainingInput
    encoder: EncoderPass
    gradients: GradientCheck
    label_filter: LabelFilter | None
    active_terms: list[Term]

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """One iteration; torchreid's loop averages, prints and logs the returned numbers."""
        is_last = self.batch_idx + 1 == getattr(self, "num_batches", 0)  # then the epoch is saved before the run ends
        with shielded(stop=not is_last):
            return self._iterate(data)

    def _iterate(self, data: dict[str, Any]) -> dict[str, float]:
        batch = self.make_batch(data)  # the encoder runs here, once; terms only read
        for term in self.active_terms:
            term.step_own(batch)  # the proxy classifier learns from detached features before ICAL reads it
        parts = {term.name: term.loss(batch) for term in self.active_terms}
        losses = weighted_losses(parts, self.active_terms)
        # The transfer of its numbers, and of the verdict on the last step, overlaps with the backward pass.
        report = LossReport(parts, losses, self.gradients.verdict)
        if losses:  # empty if no term can learn from any image of the batch
            self.optimizer.zero_grad(set_to_none=True)
            self.encoder.backward(self.state.scaler.scale(torch.stack(losses).sum()))
        numbers = report.read()
        check_finite(numbers, self.epoch, self.batch_idx)  # before any parameter of the encoder changes
        if report.skipped is not None:
            self.gradients.take(report.skipped, self.epoch, self.batch_idx)
        if losses:
            self.gradients.step(self.optimizer, self.state.scaler)
        for term in self.active_terms:
            term.update(batch)  # memories are written here and nowhere else
        return numbers

    def make_batch(self, data: dict[str, Any]) -> Batch:
        """Runs the encoder once; its outputs are float32, without the images that the label filter leaves out."""
        proxies = self.labels.proxies_of(data["dsetid"], data["camid"], data["pid"])
        images = self.input(data["img"], self.encoder.transfer, self.epoch, self.batch_idx, len(proxies))
        outputs = self.encoder.forward(images, len(proxies))
        if self.label_filter is not None:
            rows, proxies = self.label_filter.of_batch(data["impath"], proxies)
            outputs = outputs if rows is None else outputs.of(rows.to(self.device))
        return Batch(
            raw=outputs.raw,
            features=outputs.features,
            embeddings=outputs.embeddings,
            logits=outputs.logits,
            proxies=proxies,
            classes=self.class_of_proxy[proxies],
        )
