"""Processes of a run compute losses, memories and classifier each for itself: whether they still agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.engine.effective_settings import effective_settings_of
from ccafl_plugin.terms import Term
from ccafl_plugin.utils.distributed import from_all, num_processes, send_tensors
from ccafl_plugin.utils.errors import CCAFLError, of_all

ROUNDING = 1e-3
"""Largest difference, in parts of a tensor's largest number, that GPUs' orders of sums may cause within an epoch."""

CHUNK = 2**22
"""Numbers of which a checksum is computed at once."""


def check_alike(facts: Mapping[str, Any]) -> None:
    """Checks that all processes begin with the same facts; they wait for each other.

    Args:
        facts: what must be equal, by its name.

    Raises:
        CCAFLError: something differs; all processes raise it.
    """
    everyone = from_all(dict(facts))
    for number, others in enumerate(everyone):
        for name in {**everyone[0], **others}:
            value, other = (each.get(name, "nothing there") for each in (everyone[0], others))
            if other != value:
                raise of_all(
                    CCAFLError(
                        f"process {number} of {len(everyone)} has {name} {other}, but process 0 has {value}. Start "
                        "all with the same arguments and the same data."
                    )
                )


def check_same_run(engine: Any, settings: Mapping[str, Any]) -> None:
    """Checks that all processes are about to do the same, because otherwise some would wait for others in vain.

    Args:
        engine: an ``ImageCCAFLEngine``.
        settings: the arguments of its ``run``, without the folder.

    Raises:
        CCAFLError: something differs; all processes raise it.
    """
    if num_processes() == 1:
        return
    effective = {**vars(effective_settings_of(engine))}
    del effective["processes"]  # the group's own number
    check_alike(
        {
            "the training list": engine.history.dataset,
            "the seed": engine.seed,
            "this number of batches in an epoch:": len(engine.train_loader),
            **{f"{name} =": value for name, value in {**effective, **settings}.items() if name != "print_freq"},
            **{f"the term {term.name} with": _plain_values(term) for term in engine.terms},
        }
    )


def _plain_values(term: Term) -> dict[str, Any]:
    """The numbers, switches and names among a term's attributes."""
    return {name: value for name, value in vars(term).items() if isinstance(value, (bool, int, float, str))}


def check_agreement(
    terms: Sequence[Term], pseudo: Tensor | None, epoch: int, model: nn.Module | None = None
) -> list[str]:
    """Compares pseudo identities, memories, parameters of terms and weights over the processes, by checksums.

    Differences as small as those of rounding are removed: the first process's numbers are sent to all.

    Args:
        terms: the terms of the epoch.
        pseudo: (N,) int64, the epoch's pseudo identities; None without an association.
        epoch: from 0.
        model: its parameters and buffers are compared; None: not.

    Returns:
        A line for each tensor whose rounding differed.

    Raises:
        CCAFLError: a tensor differs by more; the first one is named. All processes raise it.
    """
    if num_processes() == 1:
        return []
    tensors = dict(_tensors_of(terms, pseudo, model))
    everyone = from_all({name: (tuple(tensor.shape), checksum(tensor)) for name, tensor in tensors.items()})
    lines = []
    for name in everyone[0]:
        if all(others.get(name) == everyone[0][name] for others in everyone):
            continue
        other = next(number for number, others in enumerate(everyone) if others.get(name) != everyone[0][name])
        same_shape = all(others.get(name, ((),))[0] == everyone[0][name][0] for others in everyone)
        distance, scale = _distance(tensors[name]) if same_shape else (float("inf"), 1.0)
        if not distance <= ROUNDING * scale:
            raise of_all(
                CCAFLError(
                    f"The processes have come apart in epoch {epoch}: {name} is another in process {other} than in "
                    f"process 0 (by up to {distance:.2g}). The last checkpoint is not affected. All need the same "
                    "settings and versions, and a term of your own must draw random numbers from EpochState.generator "
                    "only."
                )
            )
        lines.append(f"=> Epoch {epoch + 1}: the rounding of {name} differed between processes (by {distance:.1g})")
    return lines


def checksum(tensor: Tensor) -> int:
    """A number that depends on every bit of a tensor and on its place; equal on every device."""
    words = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    total = 0
    for chunk in words.split(CHUNK):
        places = torch.arange(1, len(chunk) + 1, device=chunk.device) * 2654435761 % 2147483647
        total = (total * 31 + int((places * (chunk.to(torch.int64) + 1)).sum())) % 2**61
    return total


def _tensors_of(terms: Sequence[Term], pseudo: Tensor | None, model: nn.Module | None) -> Iterator[tuple[str, Tensor]]:
    if pseudo is not None:
        yield "the pseudo identities", pseudo
    for term in terms:
        for attribute, module in vars(term).items():
            if isinstance(module, nn.Module):
                for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                    yield f"{term.name}'s {attribute}.{name}", tensor.detach()
    if model is not None:
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            yield f"the model's {name}", tensor.detach()


def _distance(tensor: Tensor) -> tuple[float, float]:
    """The largest difference from the first process's numbers, which take their place, and the largest number."""
    own = tensor.clone()
    send_tensors([tensor])
    if not tensor.is_floating_point():
        return (float("inf") if any(from_all(bool((own != tensor).any()))) else 0.0), 1.0
    found = from_all(float((own - tensor).abs().max()))
    return max(found, key=lambda value: (value != value, value)), float(tensor.abs().max())
