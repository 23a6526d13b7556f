"""Plans a benchmark: which camera sees which person how often. The result is a list of pictures to render."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ccafl_plugin.synthetic.renderer.cameras import FEWEST, camera_of, check_cameras
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.frame import Frame
from ccafl_plugin.synthetic.renderer.identity import Identity, draw_identities
from ccafl_plugin.utils.errors import CCAFLError

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
"""Names of the folders, the same as Market-1501's."""

MOST_PERSONS = 1501
"""The largest identity number that torchreid's market1501 class accepts."""

CAMERAS_PER_PERSON = {2: 3, 3: 4, 4: 3, 5: 2}
"""Number of cameras that see a person, with weights, for persons seen by more than one camera."""

SINGLE_CAMERA_PERCENT = 15
"""Per cent of the training identities that only one camera sees, so that no association of them can be correct."""


@dataclass(frozen=True)
class Size:
    """Numbers of persons in a benchmark.

    Attributes:
        train: identities for training.
        test: query identities; none of them is a training identity.
        bystanders: identities that are only in the gallery, each seen by one camera.
    """

    train: int
    test: int
    bystanders: int

    def __post_init__(self) -> None:
        if min(self.train, self.test) < 1 or self.bystanders < 0:
            raise CCAFLError("synthetic_persons: at least one person for training and one for the test are needed.")
        if self.train + self.test + self.bystanders > MOST_PERSONS:
            raise CCAFLError(
                f"synthetic_persons: {self.train} + {self.test} + {self.bystanders} persons are too many; "
                f"file names of Market-1501 allow {MOST_PERSONS}."
            )


SIZES: dict[str, Size] = {
    "tiny": Size(40, 30, 6),
    "small": Size(120, 120, 24),
    "medium": Size(300, 300, 60),
    "large": Size(600, 600, 120),
}
"""Sizes by name."""


@dataclass(frozen=True)
class Picture:
    """A file of the benchmark: its folder, its name in Market-1501's form, and what it shows."""

    folder: str
    name: str
    frame: Frame


@dataclass(frozen=True)
class Plan:
    """A complete benchmark.

    Attributes:
        persons: identity number (from 1) -> part ("train", "test", "bystander") and person, sorted by number.
        pictures: all files, sorted by folder and name.
        cameras: number of cameras.
    """

    persons: dict[int, tuple[str, Identity]]
    pictures: tuple[Picture, ...]
    cameras: int


@dataclass(frozen=True)
class _Visit:
    """One walk of a person past a camera. A person may pass a second time, from another direction."""

    pid: int
    part: str
    camera: int
    sequence: int
    frames: int


def plan_persons(size: Size, seed: int) -> dict[int, tuple[str, Identity]]:
    """All persons of a benchmark by identity number, as in :class:`Plan`."""
    dice = Dice(seed, "persons")
    taken: set[Identity] = set()
    parts = [("train", size.train), ("test", size.test), ("bystander", size.bystanders)]
    people = [(part, person) for part, count in parts for person in draw_identities(count, dice, taken)]
    numbers = dice.sample(range(1, len(people) + 1), len(people))  # so that the number does not reveal the part
    return dict(sorted(zip(numbers, people, strict=True)))


def plan_benchmark(size: Size, seed: int, cameras: int = FEWEST) -> Plan:
    """Plans the benchmark of a size, a seed and a number of cameras; equal arguments give equal plans on every machine.

    With more cameras, the same people are seen by other cameras.

    Raises:
        CCAFLError: too few or too many cameras.
    """
    check_cameras(cameras)
    persons = plan_persons(size, seed)
    visits = _plan_visits(persons, cameras, Dice(seed, "visits"))
    pictures = _plan_pictures(persons, visits, seed, Dice(seed, "clock"))
    return Plan(persons, tuple(sorted(pictures, key=lambda picture: (picture.folder, picture.name))), cameras)


def _plan_visits(persons: dict[int, tuple[str, Identity]], cameras: int, dice: Dice) -> list[_Visit]:
    trained = [pid for pid, (part, _) in persons.items() if part == "train"]
    alone = set(dice.sample(trained, (len(trained) * SINGLE_CAMERA_PERCENT + 50) // 100))
    visits = []
    for pid, (part, _) in persons.items():
        count = 1 if pid in alone or part == "bystander" else dice.weighted(CAMERAS_PER_PERSON)
        for camera in _meet_cameras(count, cameras, dice):
            frames = dice.between(3, 8)
            again = dice.between(1, frames - 2) if frames > 4 and dice.chance(30) else 0
            visits.append(_Visit(pid, part, camera, 1, frames - again))
            if again:
                visits.append(_Visit(pid, part, camera, 2, again))
    return visits


def _meet_cameras(count: int, cameras: int, dice: Dice) -> list[int]:
    crowds = {number: camera_of(number).crowd for number in range(cameras)}
    met = []
    for _ in range(count):
        met.append(dice.weighted(crowds))
        del crowds[met[-1]]
    return sorted(met)


def _plan_pictures(
    persons: dict[int, tuple[str, Identity]], visits: Sequence[_Visit], seed: int, dice: Dice
) -> list[Picture]:
    """File names and frames. The first picture of a test person in a camera is the query of that camera."""
    clocks: defaultdict[int, int] = defaultdict(int)
    pictures = []
    for track in dice.sample(range(len(visits)), len(visits)):  # people pass in random order
        visit = visits[track]
        clocks[visit.camera] += dice.between(40, 90)
        for number in range(visit.frames):
            clocks[visit.camera] += dice.between(5, 12)
            is_query = visit.part == "test" and visit.sequence == 1 and number == 0
            folder = TRAIN if visit.part == "train" else QUERY if is_query else GALLERY
            stamp = f"{visit.pid:04d}_c{visit.camera + 1}s{visit.sequence}_{clocks[visit.camera]:06d}"
            frame = Frame(persons[visit.pid][1], visit.camera, track, number, seed)
            pictures.append(Picture(folder, f"{stamp}_{0 if is_query else 1:02d}.jpg", frame))
    return pictures
