"""A validation split of Market-1501's training people, laid out as Market-1501 itself: for choosing values.

Choosing anything on the test people spoils their scores. Here some of the training people play their part: one image
of every person and camera becomes a query, the others the gallery. Nobody stands in two of the parts.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ccafl_plugin.utils.commands import print_error
from ccafl_plugin.utils.errors import CCAFLError

INSIDE_ROOT = Path("market1501") / "Market-1501-v15.09.15"
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
_NAME = re.compile(r"(\d+)_c(\d)")


def make_validation(
    source: Path | str,
    root: Path | str,
    people: int = 100,
    train_people: int | None = None,
    seed: int = 1,
    images: int | None = None,
    gallery_images: int | None = None,
) -> dict[str, int]:
    """Lays out a validation split as hard links, or as copies where the file system has no links.

    Args:
        source: folder of Market-1501; only its ``bounding_box_train`` is read.
        root: data root to be filled, for ``--root``; the layout below it must not exist.
        people: validation people, drawn among those whom two cameras saw.
        train_people: training people, drawn among the others; None for all of them.
        seed: of both draws.
        images: of a training person in one camera at most, spread over all of them; None for all.
        gallery_images: of a validation person in one camera at most in the gallery, likewise.

    Returns:
        Images in each folder, and ``proxies``: (person, camera) pairs in the training part.

    Raises:
        CCAFLError: no images there, something where the split is to go, or fewer people than are asked for.
    """
    folder, target = Path(source) / TRAIN, Path(root) / INSIDE_ROOT
    if target.exists():
        raise CCAFLError(f"{str(target)!r} exists already; name another root, or remove it.")
    proxies = _by_person_and_camera(folder)
    rng = random.Random(seed)
    validation = _draw(rng, [person for person in sorted(proxies) if len(proxies[person]) > 1], people, "validation")
    rest = [person for person in sorted(proxies) if person not in validation]
    training = _draw(rng, rest, len(rest) if train_people is None else train_people, "training")

    parts: dict[str, list[Path]] = {TRAIN: [], QUERY: [], GALLERY: []}
    for person in sorted(training):
        for files in proxies[person].values():
            parts[TRAIN] += _thinned(files, images)
    for person in sorted(validation):
        for files in proxies[person].values():
            if len(files) > 1:  # an only image is what queries of other cameras have to find
                parts[QUERY].append(files.pop(rng.randrange(len(files))))
            parts[GALLERY] += _thinned(files, gallery_images)
    for name, files in parts.items():
        (target / name).mkdir(parents=True)
        for file in files:
            _link(file, target / name / file.name)
    counts = {name: len(files) for name, files in parts.items()}
    return {**counts, "proxies": sum(len(proxies[person]) for person in training)}


def _by_person_and_camera(folder: Path) -> dict[str, dict[str, list[Path]]]:
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*.jpg")):
        name = _NAME.match(path.name)
        if name:
            found[name[1]][name[2]].append(path)
    if not found:
        raise CCAFLError(f"{str(folder)!r} holds no images named as Market-1501's, such as 0002_c1s1_000451_03.jpg.")
    return found


def _draw(rng: random.Random, people: list[str], count: int, part: str) -> set[str]:
    if not 0 < count <= len(people):
        raise CCAFLError(f"{count} {part} people were asked for, but there are {len(people)} to choose from.")
    return set(rng.sample(people, count))


def _thinned(files: list[Path], most: int | None) -> list[Path]:
    """At most so many, evenly spread over the list."""
    if most is None or len(files) <= most:
        return files
    return [files[(2 * i + 1) * len(files) // (2 * most)] for i in range(most)]


def _link(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, place)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        description="Lays out a validation split of Market-1501's training people; then -s market1501 -t market1501 "
        "--root ROOT. Values are chosen on it, never on the test people."
    )
    made.add_argument("source", type=Path, help="folder Market-1501-v15.09.15")
    made.add_argument("root", type=Path, help="data root to be filled")
    made.add_argument("--people", type=int, default=100, help="validation people (100)")
    made.add_argument("--train-people", type=int, default=None, help="training people (all others)")
    made.add_argument("--seed", type=int, default=1, help="of the draw (1)")
    made.add_argument("--images", type=int, default=None, help="of a training person per camera at most (all)")
    made.add_argument("--gallery-images", type=int, default=None, help="of a validation person per camera (all)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of :func:`make_validation`; returns 0, or 2 after an error."""
    given = parser().parse_args(argv)
    try:
        counts = make_validation(**vars(given))
    except CCAFLError as error:
        print_error(error)
        return 2
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    return 0
