"""The images by which features before and after training are compared: whole people, the same at all times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.report.rebuilt_run import RebuiltRun, TestImages

MOST = 3000
"""Images."""
PEOPLE = 12
"""Whose images are drawn as points."""
PER_CAMERA = 4
"""Images of such a person in a camera, at most."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Some images of a run.

    Attributes:
        paths: (n,) of the images.
        persons: (n,) int64; of training images of your own cameras, proxies.
        cameras: (n,) int64.
        ids_hold_across: whether equal persons in two cameras are one person.
        source: where the images are from, in words.
    """

    paths: tuple[str, ...]
    persons: NDArray[np.int64]
    cameras: NDArray[np.int64]
    ids_hold_across: bool
    source: str

    def few(self, seed: int = 1) -> NDArray[np.int64]:
        """Places of the images that are drawn as points: of people seen by many cameras, chosen at random.

        Without ids across cameras, as many proxies of every camera.
        """
        rng = np.random.default_rng(seed)
        seen = {person: len(np.unique(self.cameras[self.persons == person])) for person in np.unique(self.persons)}
        if self.ids_hold_across:
            most = sorted(seen.values())[-PEOPLE:][0]
            candidates = [person for person, count in seen.items() if count >= most]
            chosen = rng.permutation(candidates)[:PEOPLE].tolist()
        else:
            chosen = []
            for camera in np.unique(self.cameras):
                own = np.unique(self.persons[self.cameras == camera])
                chosen += rng.permutation(own)[: 4 * PEOPLE // len(np.unique(self.cameras)) or 1].tolist()
        places = [
            rng.permutation(np.flatnonzero((self.persons == person) & (self.cameras == camera)))[:PER_CAMERA]
            for person in sorted(chosen)
            for camera in np.unique(self.cameras[self.persons == person])
        ]
        return np.concatenate(places)


def sample_of(run: RebuiltRun, images: TestImages | None, seed: int = 1) -> Sample:
    """Test images of people who are queries, whole people at random; without a test, training images.

    Args:
        run: for its training list.
        images: of the test; None: there is none.
        seed: of the choice.
    """
    if images is not None:
        asked = np.unique(images.persons[: images.queries])
        places = _whole(images.persons, asked, seed)
        paths = tuple(images.paths[place] for place in places)
        words = f"{len(places):,} test images of {len(np.unique(images.persons[places])):,} people"
        return Sample(paths, images.persons[places], images.cameras[places], True, words)
    train = run.training_list()
    keys = [(entry[3], entry[2], entry[1]) for entry in train]
    number = {key: place for place, key in enumerate(sorted(set(keys)))}
    proxies = np.array([number[key] for key in keys], dtype=np.int64)
    cameras = np.array([entry[2] for entry in train], dtype=np.int64)
    places = _whole(proxies, np.unique(proxies), seed)
    words = f"{len(places):,} training images of {len(np.unique(proxies[places])):,} people, counted in each camera"
    return Sample(tuple(str(train[place][0]) for place in places), proxies[places], cameras[places], False, words)


def _whole(persons: NDArray[np.int64], allowed: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Places of all images of as many people as fit into :data:`MOST` images, at least one."""
    order = np.random.default_rng(seed).permutation(allowed)
    counts = np.array([(persons == person).sum() for person in order])
    fit = max(1, int((np.cumsum(counts) <= MOST).sum()))
    return np.flatnonzero(np.isin(persons, order[:fit]))
