"""What will go wrong with a data set, before it is trained on; every finding with its remedy."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ccafl_plugin.data.label_doubts import Doubt
from ccafl_plugin.data.own_images import OwnImages
from ccafl_plugin.data.picture_facts import PictureFacts, equal_files, near_duplicates
from ccafl_plugin.data.proxies import ProxyLabels, TrainTuple

EXAMPLES = 5
"""Files or labels that a finding names."""


@dataclass
class DataSet:
    """A dataset of torchreid with the names behind its numbers.

    Attributes:
        train, query, gallery: (path, person, camera, dataset) of each image.
        ids_hold_across: whether equal ids of two cameras are one person.
        own: of a dataset of one's own, what was read; None for others.
    """

    train: list[TrainTuple]
    query: list[TrainTuple]
    gallery: list[TrainTuple]
    ids_hold_across: bool
    own: OwnImages | None = None
    labels: ProxyLabels = field(init=False)

    def __post_init__(self) -> None:
        self.labels = ProxyLabels.from_tuples(self.train)

    @classmethod
    def of(cls, dataset: Any, ids_hold_across: bool) -> DataSet:
        """Of torchreid's ``ImageDataset``."""
        own = getattr(dataset, "own_images", None)
        across = own.ids_hold_across if own is not None else ids_hold_across
        return cls(dataset.train, dataset.query, dataset.gallery, across, own)

    def camera(self, number: int) -> str:
        """A camera's name by torchreid's number."""
        return self.own.images.cameras[number] if self.own is not None else str(number + 1)

    def id(self, number: int) -> str:
        """What the id of the training list was called."""
        return self.own.images.train_ids[number][1] if self.own is not None else str(number)

    def proxy(self, proxy: int) -> str:
        """``'anna' in hall``."""
        _, pid, camera, _ = self.train[self.labels.images_of_proxy(proxy)[0]]
        return f"{self.id(pid)!r} in {self.camera(camera)!r}"


@dataclass(frozen=True)
class Finding:
    """One thing that will go wrong.

    Attributes:
        text: what it is, with examples.
        remedy: what to do.
        is_fatal: whether training stops at it.
    """

    text: str
    remedy: str
    is_fatal: bool = False

    def __str__(self) -> str:
        """One line."""
        return f"{'error' if self.is_fatal else 'warning'}: {self.text}. {self.remedy}."


def camera_table(data: DataSet) -> list[tuple[str, int, int, int, float, int]]:
    """(camera, images, proxies, images of the smallest, the median and the largest proxy) of each camera."""
    labels = data.labels
    rows = []
    for number, (_, camera) in enumerate(labels.cameras):
        first = int(labels.offsets[number])
        sizes = [len(labels.images_of_proxy(first + k)) for k in range(int(labels.proxies_per_camera[number]))]
        rows.append(
            (data.camera(camera), sum(sizes), len(sizes), min(sizes), float(statistics.median(sizes)), max(sizes))
        )
    return rows


def extreme_proxies(data: DataSet) -> list[str]:
    """Lines that name the smallest and the largest proxies."""
    labels = data.labels
    sizes = sorted((len(labels.images_of_proxy(proxy)), proxy) for proxy in range(labels.num_proxies))

    def named(some: Sequence[tuple[int, int]]) -> str:
        return ", ".join(f"{data.proxy(proxy)} ({size})" for size, proxy in some)

    return [f"smallest: {named(sizes[:EXAMPLES])}", f"largest: {named(sizes[: -EXAMPLES - 1 : -1])}"]


def label_findings(data: DataSet) -> list[Finding]:
    """What the three lists alone show."""
    labels, found = data.labels, []
    if labels.num_cameras == 1:
        remedy = "Add a second camera, or check ccafl.data.pattern; within one camera train with the term icdl alone"
        found.append(Finding("all training images are of one camera: nothing can be associated", remedy, True))
    lonely = [n for n in range(labels.num_cameras) if labels.proxies_per_camera[n] == 1]
    if lonely:
        names = _some([repr(data.camera(labels.cameras[n][1])) for n in lonely])
        found.append(
            Finding(
                f"{len(lonely)} cameras saw one id only ({names}): nothing is learned inside them",
                "Add people to them, or check whether all of a camera's images got one id",
            )
        )
    single = sum(len(labels.images_of_proxy(proxy)) == 1 for proxy in range(labels.num_proxies))
    if single:
        share = single / labels.num_proxies
        found.append(
            Finding(
                f"{single} of {labels.num_proxies} proxies ({share:.0%}) have one image: they only meet copies of it",
                "Take several images of a track (ccafl.data.crops.most), or leave these people out",
            )
        )
    if data.ids_hold_across:
        seen: dict[int, set[int]] = defaultdict(set)
        for _, pid, camera, _ in data.train:
            seen[pid].add(camera)
        if labels.num_cameras > 1 and all(len(cameras) == 1 for cameras in seen.values()):
            found.append(
                Finding(
                    "no id occurs in two cameras, so these ids hold inside a camera only",
                    "Set ccafl.data.ids per_camera: else every diagnostic of the association is 0",
                )
            )
        trained = {data.id(pid) for _, pid, *_ in data.train}
        tested = {data.own.images.test_ids[pid] for _, pid, *_ in data.query} if data.own is not None else set()
        if both := sorted(trained & tested):
            found.append(
                Finding(
                    f"{len(both)} people are trained and tested on, e.g. {both[0]!r}",
                    "Split by people: leave the split out and set ccafl.data.test_share 0.3",
                )
            )
    return found + _query_findings(data)


def _query_findings(data: DataSet) -> list[Finding]:
    if not data.query and not data.gallery:
        remedy = "Name a few labelled images in ccafl.data.queries, or test on another dataset with -t"
        return [Finding("no query and no gallery: a trained model is saved, not evaluated", remedy)]
    cameras: dict[int, set[int]] = defaultdict(set)
    for _, pid, camera, _ in data.gallery:
        cameras[pid].add(camera)
    lost = [path for path, pid, camera, _ in data.query if not cameras[pid] - {camera}]
    if not lost:
        return []
    remedy = "Add gallery images of these people by other cameras; torchreid leaves such queries out of the scores"
    text = f"{len(lost)} of {len(data.query)} queries have no gallery image of another camera, e.g. {lost[0]}"
    return [Finding(text, remedy, len(lost) == len(data.query))]


def picture_findings(
    data: DataSet, facts: dict[str, PictureFacts], height: int, width: int
) -> tuple[list[Finding], list[tuple[str, str]]]:
    """What the image files show.

    Args:
        data: the lists.
        facts: of every path in them.
        height, width: of the model's input, in pixels.

    Returns:
        Findings, and pairs of files that show nearly the same under different labels.
    """
    entries = {path: ("train", pid, camera) for path, pid, camera, _ in data.train}
    for split in ("query", "gallery"):
        entries |= {path: (split, pid, camera) for path, pid, camera, _ in getattr(data, split)}
    paths = sorted(facts)
    found = []
    broken = [path for path in paths if facts[path].problem]
    if broken:
        text = f"{len(broken)} images can't be read, e.g. {facts[broken[0]].problem.rstrip('.')}"
        found.append(Finding(text, "Training stops at them: remove or replace them", True))
    tiny = [path for path in paths if not facts[path].problem and facts[path].height * 2 < height]
    if tiny:
        example = f"{tiny[0]} ({facts[tiny[0]].width} x {facts[tiny[0]].height})"
        found.append(
            Finding(
                f"{len(tiny)} of {len(paths)} images are less than half as high as the model's {height} x {width}, "
                f"e.g. {example}",
                "Leave them out (ccafl.data.crops.least_height for tracks), or lower data.height and data.width",
            )
        )
    listed = [facts[path] for path in paths]
    twice = [(paths[a], paths[b]) for a, b in equal_files(listed)]
    near = [(paths[a], paths[b]) for a, b in near_duplicates(listed)]
    doubtful = []
    for pairs, words in ((twice, "the same file"), (near, "nearly the same picture")):
        within = [pair for pair in pairs if entries[pair[0]] == entries[pair[1]]]
        across = [pair for pair in pairs if entries[pair[0]][0] != entries[pair[1]][0]]
        others = [pair for pair in pairs if pair not in within and pair not in across]
        doubtful += others + across
        if within:
            text = f"{len(within)} pairs of images of one label are {words}, e.g. {within[0][0]} and {within[0][1]}"
            found.append(Finding(text, "They add little: take fewer of a track (ccafl.data.crops.most)"))
        if others:
            text = f"{len(others)} pairs of images with different labels are {words}, e.g. {' and '.join(others[0])}"
            found.append(Finding(text, "One of the two labels is wrong: look at the page of pictures"))
        if across:
            text = f"{len(across)} pairs of images of different splits are {words}, e.g. {' and '.join(across[0])}"
            found.append(Finding(text, "Scores on them flatter: keep one of the two"))
    return found, doubtful


def doubt_findings(data: DataSet, doubled: Sequence[Doubt], mixed: Sequence[Doubt]) -> list[Finding]:
    """Labels that features contradict, as findings."""
    found = []
    if doubled:
        named = _some([" and ".join(data.proxy(proxy) for proxy in doubt.proxies) for doubt in doubled])
        found.append(
            Finding(
                f"{len(doubled)} pairs of ids of one camera may be one person: they are as alike as one id's own "
                f"images ({named})",
                "Look at them on the page; give both one id if they are one",
            )
        )
    if mixed:
        named = _some([data.proxy(doubt.proxies[0]) for doubt in mixed])
        found.append(
            Finding(
                f"{len(mixed)} ids may hold two people: their halves differ more than neighbours do ({named})",
                "Look at them on the page; give the second person another id",
            )
        )
    return found


def endings(data: DataSet) -> str:
    """How the files end, most frequent first."""
    counts = Counter(path.rpartition(".")[2] for path, *_ in data.train)
    return ", ".join(f"{count} .{ending}" for ending, count in counts.most_common())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return ", ".join(names[:EXAMPLES]) + more
