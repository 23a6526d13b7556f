"""What can be seen of image files without a model: size, whether they can be read, and what they look like coarsely."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.progress import watched

HASH_SIZE = (8, 16)
"""Bits of a picture's hash across and down; people are about twice as high as wide."""

NEAR_BITS = 6
"""Two pictures are near-duplicates if at most so many of the 128 bits differ ..."""

NEAR_GREY = 8.0
"""... and their coarse grey values differ by at most so much (of 255) in the mean."""


@dataclass(frozen=True)
class PictureFacts:
    """Of one file.

    Attributes:
        problem: why it can't be read; empty if it can.
        width, height: in pixels; 0 if it can't be read.
        digest: of the file's bytes.
        grey: (16, 9) uint8, the picture in grey, coarsely.
    """

    problem: str = ""
    width: int = 0
    height: int = 0
    digest: str = ""
    grey: NDArray[np.uint8] | None = None

    @property
    def bits(self) -> int:
        """128 bits: whether the picture gets brighter to the right."""
        assert self.grey is not None
        rises = (self.grey[:, 1:] > self.grey[:, :-1]).reshape(-1)
        return int.from_bytes(np.packbits(rises).tobytes(), "big")


def picture_facts(paths: Sequence[str], threads: int = 2) -> list[PictureFacts]:
    """Reads every file once."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(watched(pool.map(_facts, paths), len(paths), "images", "Checking"))


def _facts(path: str) -> PictureFacts:
    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        picture = read_image(path)
    except (CCAFLError, OSError) as error:
        return PictureFacts(problem=str(error))
    columns, rows = HASH_SIZE
    grey = np.asarray(picture.convert("L").resize((columns + 1, rows), Image.Resampling.BOX))
    return PictureFacts("", picture.width, picture.height, digest, grey)


def equal_files(facts: Sequence[PictureFacts]) -> list[tuple[int, int]]:
    """Pairs of pictures whose files are equal, each with the first of its kind."""
    first: dict[str, int] = {}
    pairs = []
    for index, fact in enumerate(facts):
        if fact.digest and (other := first.setdefault(fact.digest, index)) != index:
            pairs.append((other, index))
    return pairs


def near_duplicates(facts: Sequence[PictureFacts]) -> list[tuple[int, int]]:
    """Pairs of different files that show nearly the same, smaller index first, sorted.

    Of several pictures with equal bits each is paired with the first only. Two hashes that differ in at most
    :data:`NEAR_BITS` bits agree in one of :data:`NEAR_BITS` + 1 bands, so only these are compared.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for index, fact in enumerate(facts):
        if fact.grey is not None:
            groups[fact.bits].append(index)
    pairs = {(members[0], other) for members in groups.values() for other in members[1:]}
    hashes = list(groups)
    width = -(-HASH_SIZE[0] * HASH_SIZE[1] // (NEAR_BITS + 1))
    for band in range(NEAR_BITS + 1):
        buckets: dict[int, list[int]] = defaultdict(list)
        for bits in hashes:
            buckets[bits >> band * width & (1 << width) - 1].append(bits)
        for bucket in buckets.values():
            for place, bits in enumerate(bucket):
                for other in bucket[place + 1 :]:
                    if (bits ^ other).bit_count() <= NEAR_BITS:
                        first, second = sorted((groups[bits][0], groups[other][0]))
                        pairs.add((first, second))
    return sorted(pair for pair in pairs if facts[pair[0]].digest != facts[pair[1]].digest and _alike(facts, *pair))


def _alike(facts: Sequence[PictureFacts], first: int, second: int) -> bool:
    one, other = facts[first].grey, facts[second].grey
    assert one is not None and other is not None
    return float(np.abs(one.astype(np.float64) - other).mean()) <= NEAR_GREY
