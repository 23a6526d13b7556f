"""Random training lists in torchreid's form, for property tests."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from ccafl_plugin.data.proxies import TrainTuple


@st.composite
def train_lists(draw, min_per_camera: int = 1, max_cameras: int = 5, max_images: int = 7) -> list[TrainTuple]:
    """A shuffled list over 1 to ``max_cameras`` cameras of up to 2 sources, each with its own set of persons."""
    camera = st.tuples(st.integers(0, 1), st.integers(0, 9))
    cameras = draw(st.lists(camera, min_size=1, max_size=max_cameras, unique=True))
    rng = random.Random(draw(st.integers(0, 2**31)))
    train = []
    for dsetid, camid in cameras:
        for pid in rng.sample(range(12), rng.randint(min_per_camera, 9)):
            for frame in range(rng.randint(1, max_images)):
                path = f"root/{rng.randrange(10**6):06d}_{frame}_{len(train)}.jpg"
                train.append((path, pid + 100 * dsetid, camid, dsetid))
    rng.shuffle(train)
    return train


def small_list(proxies: tuple[int, ...] = (3, 2), images: int = 4) -> list[TrainTuple]:
    """One camera per entry of ``proxies``, which says how many persons it saw, each on ``images`` images."""
    return [
        (f"root/c{camid}_{pid}_{frame}.jpg", pid, camid, 0)
        for camid, count in enumerate(proxies)
        for pid in range(count)
        for frame in range(images)
    ]
