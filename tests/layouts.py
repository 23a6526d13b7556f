"""Small folders with the layouts and file names of real datasets, filled with noise."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Folder:
    """What was written: numbers of images; ``train`` includes MSMT17's validation list, whose number is ``val``."""

    base: Path
    train: int
    query: int
    gallery: int
    val: int = 0


def write_market1501(
    root: Path, identities: int = 6, cameras: int = 4, images: int = 3, test_identities: int = 3, seed: int = 0
) -> Folder:
    """``root/market1501/Market-1501-v15.09.15``: each person before each of the first cameras (of six).

    The gallery also has distractors (0000) and junk (-1), as the real one.
    """
    base = root / "market1501" / "Market-1501-v15.09.15"
    return _write_market_like(base, "{pid:04d}_c{camera}s1_{stamp:06d}_00.jpg", identities, cameras, images,
                              test_identities, seed, junk=True)  # fmt: skip


def write_dukemtmcreid(
    root: Path, identities: int = 6, cameras: int = 4, images: int = 3, test_identities: int = 3, seed: int = 0
) -> Folder:
    """``root/dukemtmc-reid/DukeMTMC-reID``: file names such as ``0005_c2_f0046985.jpg``."""
    base = root / "dukemtmc-reid" / "DukeMTMC-reID"
    return _write_market_like(base, "{pid:04d}_c{camera}_f{stamp:07d}.jpg", identities, cameras, images,
                              test_identities, seed, junk=False)  # fmt: skip


def write_msmt17(
    root: Path,
    identities: int = 6,
    cameras: int = 4,
    images: int = 3,
    test_identities: int = 3,
    seed: int = 0,
    version: str = "MSMT17_V1",
) -> Folder:
    """``root/msmt17/MSMT17_V1`` or ``MSMT17_V2``: a folder per person and four lists.

    Training and validation list share their persons, as the real ones: of each person and camera, the last image is
    in the validation list.
    """
    base = root / "msmt17" / version
    train_folder, test_folder = ("train", "test") if version == "MSMT17_V1" else ("mask_train_v2", "mask_test_v2")
    rng = random.Random(seed)
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for count, folder, (early, late) in (
        (identities, train_folder, ("train", "val")),
        (test_identities, test_folder, ("gallery", "query")),
    ):
        for pid in range(count):
            for camera in range(1, cameras + 1):
                for number in range(images):
                    stamp = rng.randrange(10000)
                    name = (
                        f"{pid:04d}/{pid:04d}_{camera * images + number:03d}_{camera:02d}_0303morning_{stamp:04d}_0.jpg"
                    )
                    write_noise(base / folder / name, rng)
                    lists[late if number == images - 1 else early].append(f"{name} {pid}")
    for name, lines in lists.items():
        (base / f"list_{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    counts = {name: len(lines) for name, lines in lists.items()}
    return Folder(base, counts["train"] + counts["val"], counts["query"], counts["gallery"], counts["val"])


def write_noise(path: Path, rng: random.Random) -> None:
    """A small JPEG of random colours in random blocks, so that images of one test differ visibly."""
    blocks = np.frombuffer(rng.randbytes(8 * 4 * 3), dtype=np.uint8).reshape(8, 4, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(path, quality=80)


def _write_market_like(
    base: Path, pattern: str, identities: int, cameras: int, images: int, test_identities: int, seed: int, junk: bool
) -> Folder:
    rng = random.Random(seed)
    numbers = [f"{number:04d}" for number in rng.sample(range(1, 1400), identities + test_identities)]

    def names(pids: list[str], count: int) -> Iterator[str]:
        for pid in pids:
            for camera in range(1, cameras + 1):
                for _ in range(count):
                    name = pattern.replace("{pid:04d}", pid)
                    yield name.format(camera=camera, stamp=rng.randrange(10**6))

    parts = {
        "bounding_box_train": list(names(numbers[:identities], images)),
        "query": list(names(numbers[identities:], 1)),
        "bounding_box_test": list(names(numbers[identities:], max(images - 1, 1))),
    }
    ignored = 0
    if junk:
        parts["bounding_box_test"] += list(names(["0000"], 1))
        trash = list(names(["-1"], 1))
        parts["bounding_box_test"] += trash
        ignored = len(trash)
    for folder, files in parts.items():
        for name in files:
            write_noise(base / folder / name, rng)
    sizes = [len(set(files)) for files in parts.values()]
    return Folder(base, sizes[0], sizes[1], sizes[2] - ignored)
