"""A validation split of Market-1501's training people."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from pathlib import Path

import pytest
import torchreid

from ccafl_plugin.data.validation_split import GALLERY, INSIDE_ROOT, QUERY, TRAIN, main, make_validation
from ccafl_plugin.utils.errors import CCAFLError

PARTS = (TRAIN, QUERY, GALLERY)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """20 people; person p is seen by 1 + p % 3 cameras, in camera c 1 + (p + c) % 5 times. No file is a picture."""
    folder = tmp_path / "Market-1501-v15.09.15"
    (folder / TRAIN).mkdir(parents=True)
    for person in range(1, 21):
        for camera in range(1, 2 + person % 3):
            for frame in range(1 + (person + camera) % 5):
                name = f"{person:04}_c{camera}s1_{frame:06}_01.jpg"
                (folder / TRAIN / name).write_bytes(name.encode())
    (folder / TRAIN / "Thumbs.db").write_bytes(b"")
    return folder


def names(root: Path, part: str) -> list[str]:
    return sorted(path.name for path in (root / INSIDE_ROOT / part).iterdir())


def keys(files: list[str]) -> list[tuple[str, str]]:
    """(person, camera) of every file."""
    return [re.match(r"(\d+)_c(\d)", file).groups() for file in files]


def test_people_stand_in_one_part_and_all_of_their_images_are_used(source, tmp_path):
    counts = make_validation(source, tmp_path / "root", people=6)
    files = {part: names(tmp_path / "root", part) for part in PARTS}
    assert {part: len(files[part]) for part in PARTS} == {part: counts[part] for part in PARTS}
    people = {part: {person for person, _ in keys(files[part])} for part in PARTS}
    assert people[QUERY] == people[GALLERY] and len(people[QUERY]) == 6
    assert not people[TRAIN] & people[QUERY] and len(people[TRAIN]) == 14
    everything = sorted(itertools.chain.from_iterable(files.values()))
    assert everything == sorted(path.name for path in (source / TRAIN).glob("*.jpg"))
    assert counts["proxies"] == len(set(keys(files[TRAIN])))


def test_one_query_per_person_and_camera_each_with_a_match_in_another_camera(source, tmp_path):
    make_validation(source, tmp_path / "root", people=14)  # all whom two cameras saw, those with single images too
    queries, gallery = keys(names(tmp_path / "root", QUERY)), keys(names(tmp_path / "root", GALLERY))
    images = Counter(keys(path.name for path in (source / TRAIN).glob("*.jpg")))
    validation = {person for person, _ in gallery}
    assert sorted(queries) == sorted(key for key in images if key[0] in validation and images[key] > 1)
    assert any(images[key] == 1 for key in gallery)
    for person, camera in queries:
        assert any(other == person and place != camera for other, place in gallery)


def test_torchreid_reads_it(source, tmp_path):
    counts = make_validation(source, tmp_path / "root", people=6)
    dataset = torchreid.data.datasets.Market1501(root=str(tmp_path / "root"))
    found = {TRAIN: dataset.train, QUERY: dataset.query, GALLERY: dataset.gallery}
    assert {part: len(entries) for part, entries in found.items()} == {part: counts[part] for part in PARTS}


def test_the_seed_decides_the_draw(source, tmp_path):
    for root, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_validation(source, tmp_path / root, people=6, train_people=7, seed=seed)
    everything = {root: [names(tmp_path / root, part) for part in PARTS] for root in "abc"}
    assert everything["a"] == everything["b"] != everything["c"]
    assert len({person for person, _ in keys(everything["a"][0])}) == 7


def test_files_are_links(source, tmp_path):
    make_validation(source, tmp_path / "root", people=6)
    file = names(tmp_path / "root", QUERY)[0]
    assert os.path.samefile(source / TRAIN / file, tmp_path / "root" / INSIDE_ROOT / QUERY / file)


def test_copies_where_there_are_no_links(source, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    make_validation(source, tmp_path / "root", people=6)
    for part in PARTS:
        for file in (tmp_path / "root" / INSIDE_ROOT / part).iterdir():
            assert file.read_bytes() == file.name.encode() and not os.path.samefile(file, source / TRAIN / file.name)


def test_thinned_parts_keep_every_proxy_and_spread_over_its_images(source, tmp_path):
    make_validation(source, tmp_path / "whole", people=6)
    make_validation(source, tmp_path / "thin", people=6, images=2, gallery_images=1)
    for part, most in ((TRAIN, 2), (GALLERY, 1)):
        whole, thin = (Counter(keys(names(tmp_path / root, part))) for root in ("whole", "thin"))
        assert thin == {key: min(count, most) for key, count in whole.items()}
    assert names(tmp_path / "whole", QUERY) == names(tmp_path / "thin", QUERY)
    frames: dict[tuple[str, str], list[int]] = {}
    for file in names(tmp_path / "thin", TRAIN):
        frames.setdefault(keys([file])[0], []).append(int(file[10:16]))
    sizes = Counter(keys(names(tmp_path / "whole", TRAIN)))
    assert {tuple(frames[key]) for key in frames if sizes[key] == 5} == {(1, 3)}
    assert {tuple(frames[key]) for key in frames if sizes[key] == 3} == {(0, 2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": 15}, "15 validation people were asked for, but there are 14"),
        ({"people": 0}, "0 validation people"),
        ({"people": 6, "train_people": 15}, "15 training people were asked for, but there are 14"),
        ({"source": "nowhere"}, "holds no images named as Market-1501's"),
    ],
)
def test_errors(source, tmp_path, change, message):
    with pytest.raises(CCAFLError, match=message):
        make_validation(**{"source": source, "root": tmp_path / "root", "people": 6, **change})
    assert not (tmp_path / "root").exists()


def test_what_is_there_is_not_touched(source, tmp_path):
    make_validation(source, tmp_path / "root", people=6)
    before = names(tmp_path / "root", TRAIN)
    with pytest.raises(CCAFLError, match="exists already"):
        make_validation(source, tmp_path / "root", people=5)
    assert names(tmp_path / "root", TRAIN) == before


def test_command_line(source, tmp_path, capsys):
    given = [str(source), str(tmp_path / "root"), "--people", "6", "--train-people", "7", "--images", "2"]
    assert main([*given, "--gallery-images", "1", "--seed", "3"]) == 0
    assert "query " in capsys.readouterr().out
    assert main(given) == 2
    assert "exists already" in capsys.readouterr().err
