"""What a term is: one loss with its window of epochs, its memories and its own parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator


@dataclass
class Setup:
    """What a term learns about the run, once, before the first epoch.

    Attributes:
        labels: cameras and proxies of the training images.
        num_classes: what torchreid's own losses tell apart: proxies, or people under full supervision.
        feature_dim: D, the length of the retrieval feature.
        device: where the model is.
        seed: of the run.
        terms: every term of the run by name.
    """

    labels: ProxyLabels
    num_classes: int
    feature_dim: int
    device: torch.device
    seed: int
    terms: Mapping[str, Term] = field(default_factory=dict)


class EpochState:
    """What is known at the start of an epoch.

    A term says by its class attributes what it reads; reading anything else is an error that names the attribute, so
    that a term never depends on what the others ask for.

    Attributes:
        epoch: from 0.
        proxies: (M,) int64, the proxy of every training image.
        seed: of the run.
        features: (M, D) float32, unit rows: every training image, test transform; ``needs_features``.
        pseudo_of_proxy: (N,) int64, pseudo identity of every proxy, -1 for none; ``needs_association``.
        text: (N, E) float32, text feature of every proxy; ``needs_text``.
    """

    def __init__(
        self,
        *,
        epoch: int,
        proxies: Tensor,
        seed: int,
        features: Tensor | None = None,
        pseudo_of_proxy: Tensor | None = None,
        text: Tensor | None = None,
    ) -> None:
        self.epoch = epoch
        self.proxies = proxies
        self.seed = seed
        self._features = features
        self._pseudo_of_proxy = pseudo_of_proxy
        self._text = text

    @property
    def features(self) -> Tensor:
        return _asked_for(self._features, "features", "needs_features")

    @property
    def pseudo_of_proxy(self) -> Tensor:
        return _asked_for(self._pseudo_of_proxy, "pseudo_of_proxy", "needs_association")

    @property
    def text(self) -> Tensor:
        return _asked_for(self._text, "text", "needs_text")

    def generator(self, purpose: str) -> torch.Generator:
        """A generator of this epoch for one purpose, independent of all other draws."""
        return generator(self.seed, self.epoch, purpose)


def _asked_for(value: Tensor | None, name: str, declares: str) -> Tensor:
    if value is None:
        raise CCAFLError(
            f"EpochState.{name}: no active term asked for it; the term that reads it sets {declares} True."
        )
    return value


@dataclass
class Batch:
    """One batch after the encoder; terms only read it.

    Labels may be given on the CPU; they are sent to where the features are, and nothing waits for that.

    Attributes:
        raw: the feature as the model gives it, (B, D) float32 with the graph; several of them if it has branches.
        features: (B, D) float32, ``raw`` with unit rows; has the graph.
        embeddings: (B, E) float32, image embedding comparable with text; None without a text encoder.
        logits: (B, num_classes) float32 of every classifier of the model's own; none, one, or one per part (PCB).
        proxies: (B,) int64.
        classes: (B,) int64, label for torchreid's own losses.
    """

    raw: tuple[Tensor, ...]
    features: Tensor
    embeddings: Tensor | None
    logits: tuple[Tensor, ...]
    proxies: Tensor
    classes: Tensor

    def __post_init__(self) -> None:
        self._on_host = self.proxies if self.proxies.device.type == "cpu" else None
        self.proxies = self.proxies.to(self.features.device, non_blocking=True)
        self.classes = self.classes.to(self.features.device, non_blocking=True)

    def proxies_on_host(self) -> Tensor:
        """:attr:`proxies` on the CPU, where memories split a batch; nothing is waited for in the engine's batches."""
        if self._on_host is None:
            self._on_host = self.proxies.cpu()
        return self._on_host


class Term:
    """Base of all terms. A subclass overrides ``loss`` and whatever else it needs.

    Args:
        weight: factor of the term in the total.
        first_epoch: first epoch, from 0, in which the term is active.
        last_epoch: last epoch (included) in which the term is active; -1: to the end.

    Class attributes:
        name: key of the term in the config, in logs and in checkpoints.
        needs: names of the terms this one reads from; they come before it.
        needs_features: the epoch starts with the features of all training images.
        needs_association: the epoch starts with pseudo identities.
        needs_logits: the model must have a classifier of its own.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    needs_features: ClassVar[bool] = False
    needs_association: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = False

    def __init__(self, weight: float = 1.0, first_epoch: int = 0, last_epoch: int = -1) -> None:
        self.weight = weight
        self.first_epoch = first_epoch
        self.last_epoch = last_epoch

    @property
    def needs_text(self) -> bool:
        """True if the term compares images with text."""
        return False

    def is_active(self, epoch: int) -> bool:
        """True in the term's window, both ends included."""
        return self.first_epoch <= epoch and (self.last_epoch < 0 or epoch <= self.last_epoch)

    def window(self, max_epoch: int) -> range:
        """The epochs below ``max_epoch`` in which the term is active."""
        return range(self.first_epoch, max_epoch if self.last_epoch < 0 else min(max_epoch, self.last_epoch + 1))

    def bind(self, setup: Setup) -> None:
        """Makes what depends on the run's sizes; called once."""

    def owned(self) -> tuple[nn.Module, torch.optim.Optimizer] | None:
        """A module with an optimizer of its own that lives on from epoch to epoch (and in the checkpoint)."""
        return None

    def refresh(self, state: EpochState) -> None:
        """Start of an epoch in which the term is active: fresh memories."""

    def step_own(self, batch: Batch) -> None:
        """Steps parameters of the term's own, before any loss of this iteration is computed."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The term's numbers by name, each () float.

        The term is the sum of those that have a graph. Those without one are reported only, such as the parts of a sum
        beside the sum itself.
        """
        raise NotImplementedError(f"{type(self).__name__}.loss")

    def update(self, batch: Batch) -> None:
        """After the encoder's step: memories are written here and nowhere else."""


TERMS: dict[str, type[Term]] = {}


def register_term(term: type[Term]) -> type[Term]:
    """Makes a term available by its name; its constructor's arguments become its keys below ``ccafl.terms``.

    Raises:
        CCAFLError: if the name is empty or another term has it.
    """
    if not term.name:
        raise CCAFLError(f"{term.__name__}: a term needs a class attribute 'name'.")
    if TERMS.get(term.name, term) is not term:
        raise CCAFLError(f"A term named {term.name!r} is already registered: {TERMS[term.name].__name__}.")
    TERMS[term.name] = term
    return term


def check_windows(terms: Sequence[Term], epochs: range) -> None:
    """Refuses windows that leave an epoch without any term, or a term without what it needs.

    Args:
        terms: of a run.
        epochs: that it trains.

    Raises:
        CCAFLError: names the epoch, or the two terms.
    """
    for epoch in epochs:
        if not any(term.is_active(epoch) for term in terms):
            raise CCAFLError(
                f"No term is active in epoch {epoch} of {epochs.stop} (from 0): change first_epoch or last_epoch below "
                "ccafl.terms, or train.max_epoch."
            )
    first_epoch = {term.name: term.first_epoch for term in terms}
    for term in terms:
        for need in term.needs:
            if term.first_epoch < first_epoch[need] and term.window(epochs.stop):
                raise CCAFLError(
                    f"ccafl.terms.{need}.first_epoch: {first_epoch[need]} is behind that of {term.name!r} "
                    f"({term.first_epoch}), but {term.name!r} reads what {need!r} has learned."
                )


def order_by_needs(terms: list[Term]) -> list[Term]:
    """Sorts terms so that each comes after those it needs; otherwise keeps the order.

    Raises:
        CCAFLError: a name stands twice, a needed term is missing, or needs form a circle.
    """
    by_name = {term.name: term for term in terms}
    if len(by_name) < len(terms):
        raise CCAFLError(f"A term is given twice: {', '.join(sorted(term.name for term in terms))}.")
    ordered: list[Term] = []

    def visit(term: Term, path: tuple[str, ...]) -> None:
        if term.name in path:
            raise CCAFLError(f"The terms {' -> '.join((*path, term.name))} need each other.")
        if term in ordered:
            return
        for need in term.needs:
            if need not in by_name:
                raise CCAFLError(
                    f"The term {term.name!r} needs the term {need!r}: set ccafl.terms.{need}.enabled True, "
                    f"or ccafl.terms.{term.name}.enabled False."
                )
            visit(by_name[need], (*path, term.name))
        ordered.append(term)

    for term in terms:
        visit(term, ())
    return ordered
