"""The base class of terms and what the engine hands to a term.

A term is one loss with the epochs in which it is active, its memories and its own parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator


@dataclass
class Setup:
    """Facts about the run that a term gets once, before the first epoch.

    Attributes:
        labels: cameras and proxies of the training images.
        num_classes: number of classes for torchreid's own losses: proxies, or people under full supervision.
        feature_dim: D, the length of the retrieval feature.
        device: device of the model.
        seed: seed of the run.
        terms: all terms of the run by name.
        optimizer: optimizer of the encoder, whose learning rate a term may follow; None outside an engine.
    """

    labels: ProxyLabels
    num_classes: int
    feature_dim: int
    device: torch.device
    seed: int
    terms: Mapping[str, Term] = field(default_factory=dict)
    optimizer: torch.optim.Optimizer | None = None


class EpochState:
    """What the engine computes at the start of an epoch.

    A term declares in its class attributes what it reads. Reading anything else raises an error that names the
    attribute, so a term never depends on what other terms request.

    Attributes:
        epoch: number of the epoch, from 0.
        proxies: (M,) int64, the proxy of every training image.
        seed: seed of the run.
        features: (M, D) float32, unit rows: all training images, test transform; for ``needs_features``.
        pseudo_of_proxy: (N,) int64, pseudo identity of every proxy, -1 for none; for ``needs_association``.
        text: (N, E) float32, text feature of every proxy; for ``needs_text``.
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
        """A random generator for one purpose in this epoch, independent of all other draws."""
        return generator(self.seed, self.epoch, purpose)


def _asked_for(value: Tensor | None, name: str, declares: str) -> Tensor:
    if value is None:
        raise CCAFLError(
            f"EpochState.{name} was not computed, because no active term requested it. A term that reads it must set "
            f"{declares} to True."
        )
    return value


@dataclass
class Batch:
    """One batch after the encoder; terms only read it.

    Labels may be given on the CPU. They are copied to the features' device without a wait.

    Attributes:
        raw: the features as the model returns them, (B, D) float32 with the graph; one per branch of the model.
        features: (B, D) float32, ``raw`` with unit rows; has the graph.
        embeddings: (B, E) float32, image embeddings comparable with text; None without a text encoder.
        logits: (B, num_classes) float32 of each classifier in the model; none, one, or one per part (PCB).
        proxies: (B,) int64.
        classes: (B,) int64, labels for torchreid's own losses.
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
        """:attr:`proxies` on the CPU, where memories split a batch; the engine's batches have them without a wait."""
        if self._on_host is None:
            self._on_host = self.proxies.cpu()
        return self._on_host


class Term:
    """Base class of all terms. A subclass overrides ``loss`` and the other methods that it needs.

    Args:
        weight: factor of the term in the total loss.
        first_epoch: first epoch, from 0, in which the term is active.
        last_epoch: last epoch (included) in which the term is active; -1: to the end.

    Class attributes:
        name: key of the term in the config, in logs and in checkpoints.
        needs: names of the terms that this one reads; they are computed before it.
        needs_features: whether it needs the features of all training images at the start of an epoch.
        needs_association: whether it needs pseudo identities at the start of an epoch.
        needs_logits: whether the model must have a classifier.
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
        """True from ``first_epoch`` to ``last_epoch``, both included."""
        return self.first_epoch <= epoch and (self.last_epoch < 0 or epoch <= self.last_epoch)

    def window(self, max_epoch: int) -> range:
        """The epochs below ``max_epoch`` in which the term is active."""
        return range(self.first_epoch, max_epoch if self.last_epoch < 0 else min(max_epoch, self.last_epoch + 1))

    def bind(self, setup: Setup) -> None:
        """Creates what depends on the sizes of the run; called once, before the first epoch."""

    def owned(self) -> tuple[nn.Module, torch.optim.Optimizer] | None:
        """A module with its own optimizer; both are kept from epoch to epoch and saved in the checkpoint."""
        return None

    def schedule(self) -> Any:
        """The schedule of that optimizer, stepped after every epoch, after the encoder's; None for a constant rate."""
        return None

    def refresh(self, state: EpochState) -> None:
        """Rebuilds the term's memories at the start of an epoch in which the term is active."""

    def release(self) -> None:
        """Frees the term's memories; called at the start of an epoch in which the term is not active.

        :meth:`refresh` creates them again, so nothing that must last beyond an epoch belongs to them.
        """

    def step_own(self, batch: Batch) -> None:
        """Takes a step on the term's own parameters, before any loss of this iteration is computed."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The term's values by name, each () float.

        The term's loss is the sum of the values that have a graph. Values without a graph are only reported, such as
        the parts of a sum.
        """
        raise NotImplementedError(f"{type(self).__name__}.loss")

    def update(self, batch: Batch) -> None:
        """Writes the term's memories, after the encoder's step. No other method writes them during an epoch."""


TERMS: dict[str, type[Term]] = {}


def register_term(term: type[Term]) -> type[Term]:
    """Makes a term available by its name; the arguments of its constructor become its keys below ``ccafl.terms``.

    Raises:
        CCAFLError: the name is empty, or another term has it.
    """
    if not term.name:
        raise CCAFLError(f"{term.__name__}: a term needs the class attribute 'name'.")
    if TERMS.get(term.name, term) is not term:
        raise CCAFLError(f"A term named {term.name!r} is already registered: {TERMS[term.name].__name__}.")
    TERMS[term.name] = term
    return term


def check_windows(terms: Sequence[Term], epochs: range) -> None:
    """Checks that every epoch has an active term, and that a term starts no earlier than the terms it needs.

    Args:
        terms: the terms of a run.
        epochs: the epochs that the run trains.

    Raises:
        CCAFLError: an epoch has no active term, or a term starts before one that it needs; the message names them.
    """
    for epoch in epochs:
        if not any(term.is_active(epoch) for term in terms):
            raise CCAFLError(
                f"No term is active in epoch {epoch} of {epochs.stop} (from 0): change first_epoch or last_epoch below "
                "ccafl.terms, or change train.max_epoch."
            )
    first_epoch = {term.name: term.first_epoch for term in terms}
    for term in terms:
        for need in term.needs:
            if term.first_epoch < first_epoch[need] and term.window(epochs.stop):
                raise CCAFLError(
                    f"ccafl.terms.{need}.first_epoch: {first_epoch[need]} is later than the first epoch of "
                    f"{term.name!r} ({term.first_epoch}), but {term.name!r} reads what {need!r} has learned. "
                    "Start it no later."
                )


def order_by_needs(terms: list[Term]) -> list[Term]:
    """Sorts terms so that each comes after the terms it needs; otherwise keeps the order.

    Raises:
        CCAFLError: two terms have one name, a needed term is missing, or terms need each other.
    """
    by_name = {term.name: term for term in terms}
    if len(by_name) < len(terms):
        raise CCAFLError(f"Two terms have the same name: {', '.join(sorted(term.name for term in terms))}.")
    ordered: list[Term] = []

    def visit(term: Term, path: tuple[str, ...]) -> None:
        if term.name in path:
            raise CCAFLError(f"The terms {' -> '.join((*path, term.name))} need each other. Remove one 'needs' entry.")
        if term in ordered:
            return
        for need in term.needs:
            if need not in by_name:
                raise CCAFLError(
                    f"The term {term.name!r} needs the term {need!r}: set ccafl.terms.{need}.enabled True "
                    f"or ccafl.terms.{term.name}.enabled False."
                )
            visit(by_name[need], (*path, term.name))
        ordered.append(term)

    for term in terms:
        visit(term, ())
    return ordered
