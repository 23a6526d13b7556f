"""Damaged training lists: the damage that was asked for, inside cameras only, whatever identities are called."""

from __future__ import annotations

from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest
import torch

from ccafl_plugin.data.label_noise import LabelNoise, right_proxies, true_persons
from ccafl_plugin.data.proxies import ProxyLabels, TrainTuple
from ccafl_plugin.utils.errors import CCAFLError

PEOPLE, CAMERAS, IMAGES = 20, 3, 5


def make_list() -> list[TrainTuple]:
    """Everybody before every camera, and one camera with a single person."""
    entries = [
        (f"d/{pid:02d}_{camid}_{image}.jpg", pid, camid, 0)
        for pid in range(PEOPLE)
        for camid in range(CAMERAS)
        for image in range(IMAGES)
    ]
    return [*entries, *[(f"d/alone_{image}.jpg", 3, CAMERAS, 0) for image in range(IMAGES)]]


def proxies(train: list[TrainTuple]) -> dict[tuple[int, int], set[str]]:
    found = defaultdict(set)
    for path, pid, camid, _ in train:
        found[camid, pid].add(path)
    return found


def test_wrong_labels_stay_inside_their_camera() -> None:
    train = make_list()
    damaged = LabelNoise(wrong=0.2).damage(train, seed=1)[0]
    assert [(path, camid, dsetid) for path, _, camid, dsetid in damaged] == [(p, c, d) for p, _, c, d in train]
    wrong = Counter(entry[2] for entry, other in zip(train, damaged, strict=True) if entry[1] != other[1])
    assert wrong == dict.fromkeys(range(CAMERAS), PEOPLE * IMAGES // 5)  # none where there is nobody to mix up
    assert {pid for _, pid, _, _ in damaged} == set(range(PEOPLE))


def test_split_proxies_become_two() -> None:
    train = make_list()
    damaged = LabelNoise(split=0.2).damage(train, seed=1)[0]
    before, after = proxies(train), proxies(damaged)
    count = round(0.2 * len(before))
    assert len(after) == len(before) + count
    new = [paths for (_, pid), paths in after.items() if pid >= PEOPLE]
    assert len(new) == count
    for paths in new:
        (whole,) = (whole for whole in before.values() if paths < whole)
        assert paths == set(sorted(whole)[IMAGES // 2 :])
        assert whole - paths in after.values()


def test_halves_of_a_split_proxy_are_one_person_to_the_diagnostics() -> None:
    train = make_list()
    truth = {path: pid for path, pid, _, _ in train}
    dataset = SimpleNamespace(train=train)
    undamaged = ProxyLabels.from_tuples(train)
    assert torch.equal(true_persons(dataset, undamaged), undamaged.person_of_proxy)
    dataset.train, dataset.true_person = LabelNoise(split=0.5).damage(train, seed=1)
    assert dataset.train == LabelNoise(split=0.5).damage(train, seed=1)[0]
    labels = ProxyLabels.from_tuples(dataset.train)
    persons = true_persons(dataset, labels)
    expected = [truth[dataset.train[labels.images_of_proxy(proxy)[0]][0]] for proxy in range(labels.num_proxies)]
    assert len(expected) > undamaged.num_proxies
    same = persons[:, None] == persons[None, :]
    assert torch.equal(same, torch.tensor(expected)[:, None] == torch.tensor(expected)[None, :])


@pytest.mark.parametrize("single_camera", [0.0, 0.5])
def test_right_proxies(single_camera: float) -> None:
    """By the paths, which say who is on an image; some of the people lose a proxy to wrong labels."""
    train = make_list()
    noise = LabelNoise(wrong=0.6, single_camera=single_camera)
    dataset = SimpleNamespace(train=noise.damage(train, seed=1)[0], right_persons=noise.right_persons(train, seed=1))
    labels = ProxyLabels.from_tuples(dataset.train)
    found = right_proxies(dataset, labels)
    truth = {path: pid for path, pid, _, _ in train}
    people = sorted({truth[path] for path, _, _, _ in dataset.train})
    assert {pid for _, pid, _, _ in dataset.train} == set(range(len(people)))  # everybody keeps a label somewhere
    for image, proxy in zip(labels.path_order.tolist(), found.tolist(), strict=True):
        path, _, camid, _ = dataset.train[image]
        expected = {
            p
            for p in range(labels.num_proxies)
            if dataset.train[labels.images_of_proxy(p)[0]][1:3] == (people.index(truth[path]), camid)
        }
        assert expected == ({proxy} if proxy >= 0 else set())
    assert right_proxies(SimpleNamespace(train=train), ProxyLabels.from_tuples(train)) is None
    assert LabelNoise(wrong=0.1, split=0.1).right_persons(train, 1) is LabelNoise().right_persons(train, 1) is None


def test_single_camera_people() -> None:
    train = make_list()
    damaged = LabelNoise(single_camera=0.5).damage(train, seed=1)[0]
    assert set(damaged) <= set(train)
    cameras = defaultdict(set)
    for _, pid, camid, _ in damaged:
        cameras[pid].add(camid)
    assert sorted(len(seen) for seen in cameras.values())[: PEOPLE // 2] == [1] * (PEOPLE // 2)
    assert sum(len(seen) > 1 for seen in cameras.values()) == PEOPLE // 2
    assert all(len(paths) == IMAGES for paths in proxies(damaged).values())  # a proxy stays whole


def test_seeds_and_names() -> None:
    noise = LabelNoise(wrong=0.1, split=0.2, single_camera=0.3)
    train = make_list()
    first = noise.damage(train, seed=1)[0]
    assert noise.damage(train, seed=1)[0] == first
    assert noise.damage(train, seed=2)[0] != first
    assert LabelNoise().damage(train, seed=1)[0] == train
    names = torch.randperm(PEOPLE, generator=torch.Generator().manual_seed(0)).tolist()
    renamed = noise.damage([(path, names[pid], camid, dsetid) for path, pid, camid, dsetid in train], seed=1)[0]
    assert sorted(map(sorted, proxies(renamed).values())) == sorted(map(sorted, proxies(first).values()))
    assert {pid for _, pid, _, _ in first} == set(range(max(pid for _, pid, _, _ in first) + 1))  # no gaps


def test_impossible_shares() -> None:
    with pytest.raises(CCAFLError, match=r"^split: 1\.5 is out of range, it must be at least 0 and at most 1\.$"):
        LabelNoise(split=1.5)
