"""Damages a training list on purpose, to measure the effect of imperfect labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ccafl_plugin.data.proxies import ProxyLabels, TrainTuple
from ccafl_plugin.utils.ranges import check_arguments
from ccafl_plugin.utils.seeds import generator


@dataclass(frozen=True)
class LabelNoise:
    """Shares of a training list that are damaged; 0 for none.

    Attributes:
        wrong: share of the images of each camera that get the label of another identity of the same camera.
        split: share of the proxies with several images that are split into two proxies, in the order of the images'
            paths, as if an annotator took the person for two.
        single_camera: share of the people of whom only the images of one random camera are kept.

    Raises:
        CCAFLError: a share outside [0, 1].
    """

    wrong: float = 0.0
    split: float = 0.0
    single_camera: float = 0.0

    def __post_init__(self) -> None:
        check_arguments(wrong=self.wrong, split=self.split, single_camera=self.single_camera)

    def __bool__(self) -> bool:
        return bool(self.wrong or self.split or self.single_camera)

    def damage(self, train: Sequence[TrainTuple], seed: int) -> tuple[list[TrainTuple], dict[int, int]]:
        """A damaged copy of a training list, in its order; people are renumbered without gaps.

        First images are dropped, then labels are changed, then proxies are split. The choice depends on the seed, the
        paths and the cameras, not on identity numbers.

        Args:
            train: (image path, person, camera, dataset) of each image.
            seed: seed of the random draws.

        Returns:
            The list, and a map from the new number of a split proxy's second half to that of its first half.
        """
        train = _with_single_cameras(list(train), self.single_camera, seed)
        train = _with_wrong_labels(train, self.wrong, seed)
        train, halves = _with_split_proxies(train, self.split, seed)
        number = _numbers(train)
        damaged = [(path, number[pid], camid, dsetid) for path, pid, camid, dsetid in train]
        return damaged, {number[new]: number[old] for new, old in halves.items()}

    def right_persons(self, train: Sequence[TrainTuple], seed: int) -> list[int] | None:
        """The person whom each image of the damaged list shows, as that list counts people; for diagnostics only.

        Args:
            train: as for :meth:`damage`.
            seed: likewise.

        Returns:
            In the order of the damaged list; -1 for a person of whom all labels were changed. None if no labels were
            changed, or proxies were split: two labels are right there.
        """
        if self.split or not self.wrong:
            return None
        kept = _with_single_cameras(list(train), self.single_camera, seed)
        number = _numbers(_with_wrong_labels(kept, self.wrong, seed))
        return [number.get(pid, -1) for _, pid, _, _ in kept]


def _numbers(train: Sequence[TrainTuple]) -> dict[int, int]:
    """New numbers of people, without gaps."""
    return {pid: index for index, pid in enumerate(sorted({pid for _, pid, _, _ in train}))}


def _with_single_cameras(train: list[TrainTuple], share: float, seed: int) -> list[TrainTuple]:
    if not share:
        return train
    rng = generator(seed, "label noise", "single camera")
    labels = ProxyLabels.from_tuples(train)
    proxies_of_person: dict[int, list[int]] = {}
    for proxy, person in enumerate(labels.person_of_proxy.tolist()):
        proxies_of_person.setdefault(person, []).append(proxy)
    dropped: set[int] = set()
    for person in torch.randperm(len(proxies_of_person), generator=rng)[: round(share * len(proxies_of_person))]:
        proxies = proxies_of_person[int(person)]
        kept = proxies[int(torch.randint(len(proxies), (), generator=rng))]
        dropped.update(proxy for proxy in proxies if proxy != kept)
    return [entry for entry, proxy in zip(train, labels.proxy_of_image.tolist(), strict=True) if proxy not in dropped]


def _with_wrong_labels(train: list[TrainTuple], share: float, seed: int) -> list[TrainTuple]:
    if not share:
        return train
    rng = generator(seed, "label noise", "wrong")
    labels = ProxyLabels.from_tuples(train)
    person_of_proxy = [train[labels.images_of_proxy(proxy)[0]][1] for proxy in range(labels.num_proxies)]
    damaged = list(train)
    for camera in range(labels.num_cameras):
        images = labels.path_order[labels.camera_of_image[labels.path_order] == camera]
        identities, offset = int(labels.proxies_per_camera[camera]), int(labels.offsets[camera])
        if identities == 1:
            continue
        for image in images[torch.randperm(len(images), generator=rng)[: round(share * len(images))]].tolist():
            step = 1 + int(torch.randint(identities - 1, (), generator=rng))
            other = offset + (int(labels.local_of_image[image]) + step) % identities
            path, _, camid, dsetid = train[image]
            damaged[image] = (path, person_of_proxy[other], camid, dsetid)
    return damaged


def _with_split_proxies(train: list[TrainTuple], share: float, seed: int) -> tuple[list[TrainTuple], dict[int, int]]:
    if not share:
        return train, {}
    rng = generator(seed, "label noise", "split")
    labels = ProxyLabels.from_tuples(train)
    several = [proxy for proxy in range(labels.num_proxies) if len(labels.images_of_proxy(proxy)) > 1]
    new = 1 + max(pid for _, pid, _, _ in train)
    damaged = list(train)
    halves: dict[int, int] = {}
    for choice in torch.randperm(len(several), generator=rng)[: round(share * len(several))].tolist():
        images = labels.images_of_proxy(several[choice])
        halves[new] = train[images[0]][1]
        for image in images[len(images) // 2 :]:
            path, _, camid, dsetid = train[image]
            damaged[image] = (path, new, camid, dsetid)
        new += 1
    return damaged, halves


def true_persons(dataset: Any, labels: ProxyLabels) -> Tensor:
    """(N,) int64: the person of every proxy before any proxy was split. For diagnostics only.

    Args:
        dataset: a training set, damaged or not.
        labels: labels of its training list.
    """
    halves = getattr(dataset, "true_person", {})
    firsts = [dataset.train[labels.images_of_proxy(proxy)[0]] for proxy in range(labels.num_proxies)]
    number: dict[tuple[int, int], int] = {}
    return torch.tensor(
        [number.setdefault((dsetid, halves.get(pid, pid)), len(number)) for _, pid, _, dsetid in firsts]
    )


def right_proxies(dataset: Any, labels: ProxyLabels) -> Tensor | None:
    """The proxy to which every image belongs, where labels were changed on purpose. For diagnostics only.

    Args:
        dataset: a training set, damaged or not.
        labels: labels of its training list.

    Returns:
        (M,) int64 in the order of ``labels.path_order``, -1 for a person who has no proxy left in this camera; None if
        no labels were changed, or proxies were split.
    """
    persons: list[int] | None = getattr(dataset, "right_persons", None)
    if persons is None:
        return None
    place = {
        (dsetid, camid, pid): proxy
        for (_, pid, camid, dsetid), proxy in zip(dataset.train, labels.proxy_of_image.tolist(), strict=True)
    }
    found = [place.get((d, c, pid), -1) for pid, (_, _, c, d) in zip(persons, dataset.train, strict=True)]
    return torch.tensor(found, dtype=torch.int64)[labels.path_order]
