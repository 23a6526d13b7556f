from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from ccafl_plugin.synthetic.renderer.picture_plan import GALLERY, QUERY, SIZES, TRAIN, Size, plan_benchmark
from ccafl_plugin.utils.errors import CCAFLError

PLAN = plan_benchmark(SIZES["small"], 1)
NAME = re.compile(r"^(\d{4})_c([1-6])s[12]_(\d{6})_\d{2}\.jpg$")


def parsed(folder):
    """(person, camera from 0, time) of the pictures of a folder."""
    return [
        (int(match[1]), int(match[2]) - 1, int(match[3]))
        for match in (NAME.match(picture.name) for picture in PLAN.pictures if picture.folder == folder)
    ]


def cameras_of(folder):
    seen = defaultdict(set)
    for pid, camera, _ in parsed(folder):
        seen[pid].add(camera)
    return seen


def test_names_say_what_the_pictures_show():
    assert len({(picture.folder, picture.name) for picture in PLAN.pictures}) == len(PLAN.pictures)
    for picture in PLAN.pictures:
        match = NAME.match(picture.name)
        assert int(match[2]) - 1 == picture.frame.camera
        part, person = PLAN.persons[int(match[1])]
        assert person == picture.frame.person
        assert (part == "train") == (picture.folder == TRAIN)


def test_everybody_is_there_once():
    size = SIZES["small"]
    assert Counter(part for part, _ in PLAN.persons.values()) == {
        "train": size.train, "test": size.test, "bystander": size.bystanders,
    }  # fmt: skip
    assert sorted(PLAN.persons) == list(range(1, len(PLAN.persons) + 1))
    assert len({person for _, person in PLAN.persons.values()}) == len(PLAN.persons)
    numbers = [pid for pid, (part, _) in PLAN.persons.items() if part == "train"]
    assert numbers != list(range(1, size.train + 1))  # the number says nothing about the part


def test_cameras_per_person():
    counts = Counter(len(cameras) for cameras in cameras_of(TRAIN).values())
    assert counts[1] == 18  # 15 per cent of 120
    assert set(counts) == {1, 2, 3, 4, 5}
    assert {len(cameras) for cameras in cameras_of(QUERY).values()} <= {2, 3, 4, 5}


def test_cameras_differ_in_how_many_they_see():
    crowds = Counter(camera for cameras in cameras_of(TRAIN).values() for camera in cameras)
    assert set(crowds) == set(range(6))
    assert min(crowds.values()) < 0.65 * max(crowds.values())


def test_query_and_gallery_as_in_market1501():
    query, gallery = parsed(QUERY), cameras_of(GALLERY)
    assert len({(pid, camera) for pid, camera, _ in query}) == len(query)  # one of each person and camera
    for pid, camera, _ in query:
        assert gallery[pid] - {camera}
    bystanders = {pid for pid, (part, _) in PLAN.persons.items() if part == "bystander"}
    assert bystanders <= set(gallery)
    assert all(len(gallery[pid]) == 1 for pid in bystanders)
    assert not set(cameras_of(TRAIN)) & (set(gallery) | set(cameras_of(QUERY)))


def test_nobody_is_twice_before_a_camera_at_one_time():
    moments = [(camera, time) for folder in (TRAIN, QUERY, GALLERY) for _, camera, time in parsed(folder)]
    assert len(set(moments)) == len(moments)


def test_seeds():
    assert plan_benchmark(SIZES["tiny"], 4) == plan_benchmark(SIZES["tiny"], 4)
    other = plan_benchmark(SIZES["tiny"], 5)
    assert not set(other.persons.values()) & set(plan_benchmark(SIZES["tiny"], 4).persons.values())


def test_sizes():
    assert [size.train for size in SIZES.values()] == [40, 120, 300, 600]
    images = Counter(picture.folder for picture in plan_benchmark(SIZES["large"], 1).pictures)
    assert images[TRAIN] == pytest.approx(10_000, rel=0.05)
    with pytest.raises(CCAFLError, match=r"800 \+ 701 \+ 1 persons are too many"):
        Size(800, 701, 1)
    with pytest.raises(CCAFLError, match="at least one person"):
        Size(0, 3, 0)
