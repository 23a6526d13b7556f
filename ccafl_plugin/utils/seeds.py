"""Random draws that can be repeated: every draw has a generator of its own, seeded by what it is for."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) from any sequence of numbers and words, the same on every machine and in every process."""
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
    """torch's random state now, on the CPU and on GPUs, to draw the same once more.

    Args:
        devices: GPUs; none for work on the CPU. Reading their states waits for nothing, it is kept on the host.
    """

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self._on_cpu = torch.get_rng_state()
        self._on_gpus = {device: torch.cuda.get_rng_state(device) for device in devices}

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """In a ``with`` block draws repeat those since this object was made; afterwards nothing has been drawn."""
        with torch.random.fork_rng(list(self._on_gpus)):
            torch.set_rng_state(self._on_cpu)
            for device, state in self._on_gpus.items():
                torch.cuda.set_rng_state(state, device)
            yield
