"""Random draws that can be repeated: every draw has a generator of its own, seeded by what it is for."""

from __future__ import annotations

import hashlib
import random

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
