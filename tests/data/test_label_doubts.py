"""Labels held against features: planted mistakes are found, clean labels give no doubt."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ccafl_plugin.data.label_doubts import centred, doubled_ids, mixed_ids
from ccafl_plugin.data.proxies import ProxyLabels, TrainTuple

PEOPLE, CAMERAS, IMAGES = 12, 3, 6
TWICE = (1, 3, 6, 8)


def problem(doubled: bool = False, mixed: bool = False) -> tuple[torch.Tensor, ProxyLabels, list[TrainTuple]]:
    """Features of people with a little noise and an offset per camera; some of camera 1 with two ids, or one of
    camera 2 with another's images among hers."""
    rng = torch.Generator().manual_seed(0)
    persons = torch.randn(PEOPLE, 64, generator=rng)
    offsets = 3 * torch.randn(CAMERAS, 64, generator=rng)
    train, rows = [], []
    for camera in range(CAMERAS):
        for person in range(PEOPLE):
            for image in range(IMAGES):
                label = person
                if doubled and camera == 1 and person in TWICE and image >= IMAGES // 2:
                    label = person + 50
                if mixed and camera == 2 and person == 5:
                    label = 4
                train.append((f"{camera}/{label:02d}_{person}_{image}.jpg", label, camera, 0))
                rows.append(persons[person] + offsets[camera] + 0.5 * torch.randn(64, generator=rng))
    labels = ProxyLabels.from_tuples(train)
    return centred(torch.stack(rows), labels), labels, train


def test_clean_labels() -> None:
    features, labels, _ = problem()
    assert doubled_ids(features, labels) == []
    assert mixed_ids(features, labels) == []


def test_people_with_two_ids() -> None:
    """All who are named have two ids; a quarter of ids' own halves are less alike than the measure, so not all are."""
    features, labels, train = problem(doubled=True)
    doubts = doubled_ids(features, labels)
    assert len(doubts) >= len(TWICE) / 2
    for doubt in doubts:
        (first, camera), (second, other) = (train[labels.images_of_proxy(proxy)[0]][1:3] for proxy in doubt.proxies)
        assert camera == other == 1
        assert second == first + 50 and first in TWICE
        assert doubt.similarity >= doubt.usual
        assert [train[image][1] for image in doubt.images] == [first, second]


def test_an_id_of_two_people() -> None:
    features, labels, train = problem(mixed=True)
    (doubt,) = mixed_ids(features, labels)
    assert train[labels.images_of_proxy(doubt.proxies[0])[0]][1:3] == (4, 2)
    assert sorted(train[image][0][5] for image in doubt.images) == ["4", "5"]


def test_centred_takes_the_camera_out() -> None:
    features, labels, _ = problem()
    assert torch.allclose(features.norm(dim=1), torch.ones(len(features), dtype=torch.float64))
    for camera in range(CAMERAS):
        assert features[labels.camera_of_image == camera].mean(dim=0).norm() < 0.1


def test_too_little_to_doubt() -> None:
    """One image each, one id per camera."""
    labels = ProxyLabels.from_tuples([("a", 0, 0, 0), ("b", 0, 1, 0)])
    features = centred(F.normalize(torch.rand(2, 4), dim=1), labels)
    assert doubled_ids(features, labels) == []
    assert mixed_ids(features, labels) == []
