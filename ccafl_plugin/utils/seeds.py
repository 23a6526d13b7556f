"""Reproducible random draws: every draw has its own generator, whose seed is derived from its purpose."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) from a sequence of numbers and words; it is equal on every machine and in every process."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by ``parts``, e.g. ``generator(seed, epoch, "instances")``."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def pin_global_state(*parts: int | str) -> None:
    """Seeds Python's, NumPy's and torch's global generators, from which torchreid and torchvision draw."""
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class RandomState:
    """torch's current random state on the CPU and on GPUs, so that the same numbers can be drawn again.

    Args:
        devices: GPUs; empty for work on the CPU. Their states are kept on the host, so reading them does not wait.
    """

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self._on_cpu = torch.get_rng_state()
        self._on_gpus = {device: torch.cuda.get_rng_state(device) for device in devices}

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """In the ``with`` block, draws repeat those made after this object was created; then the state is restored."""
        with torch.random.fork_rng(list(self._on_gpus)):
            torch.set_rng_state(self._on_cpu)
            for device, state in self._on_gpus.items():
                torch.cuda.set_rng_state(state, device)
            yield
