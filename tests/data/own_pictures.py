"""A few small pictures, for tests of how data of one's own are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, height: int = 64, width: int = 32) -> np.ndarray:
    """(height, width, 3) uint8: coarse colours, another for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST))


def write(root: Path, *names: str, height: int = 64, width: int = 32, first: int = 0) -> Path:
    """Files with pictures of their own, numbered from ``first``."""
    for seed, name in enumerate(names, start=first):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed, height, width)).save(file)
    return root
