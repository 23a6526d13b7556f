"""What somebody's own dataset class may hand to torchreid: the right value, or one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchreid

from ccafl_plugin.data.list_check import check_batches, check_classes, check_labels, left_out_lines
from ccafl_plugin.data.list_entries import checked_entries
from ccafl_plugin.utils.errors import CCAFLError

GOOD = [("a.jpg", 0, 0), ("b.jpg", 1, 0), ("c.jpg", 1, 1)]


class Own(torchreid.data.ImageDataset):
    """A dataset as torchreid's documentation shows it."""


def own(train: Any, query: Any = GOOD, gallery: Any = GOOD, **settings: Any) -> Own:
    return Own(train, query, gallery, **{"mode": "train", "verbose": False, **settings})


WRONG: dict[str, tuple[Any, str]] = {
    "columns": ([["a.jpg", "b.jpg"], [0, 1], [0, 0]], "it has 3 columns in place of rows. Give list(zip("),
    "columns with datasets": ([["a.jpg"], [0], [0], [0]], "it has 4 columns in place of rows"),
    "columns of arrays": ((np.array(["a.jpg"]), np.array([1]), np.array([0])), "columns in place of rows"),
    "people as text": ([("a.jpg", "0001", 0)], "the person of entry 0 ('a.jpg') is '0001', text"),
    "cameras as text": ([("a.jpg", 1, "c1")], "the camera of entry 0 ('a.jpg') is 'c1', text"),
    "the second one as text": ([("a.jpg", 1, 0), ("b.jpg", "1", 0)], "the person of entry 1 ('b.jpg')"),
    "floats": ([("a.jpg", 1.0, 0)], "is 1.0, of type float"),
    "None": ([("a.jpg", None, 0)], "is None, of type NoneType"),
    "truth values": ([("a.jpg", True, 0)], "is True, of type bool"),
    "tensors": ([("a.jpg", torch.tensor(1), 0)], "of type Tensor"),
    "two parts": ([("a.jpg", 1)], "entry 0 is ('a.jpg', 1), expected (path, person, camera)"),
    "five parts": ([("a.jpg", 1, 0, 0, 0)], "expected (path, person, camera)"),
    "paths alone": (["a.jpg", "b.jpg", "c.jpg", "d.jpg"], "entry 0 is 'a.jpg', expected"),
    "a path of bytes": ([(b"a.jpg", 1, 0)], "entry 0 has the path b'a.jpg', expected text"),
    "another order": ([(1, "a.jpg", 0)], "the person of entry 0 (1) is 'a.jpg', text"),
    "a mapping": ({"a.jpg": (0, 0)}, "it is a dict, not a list of entries"),
    "a text": ("a.jpg", "it is a str, not a list of entries"),
    "nothing": (None, "it is a NoneType, not a list of entries"),
    "mappings": ([{"path": "a.jpg", "pid": 0, "camid": 0}], "entry 0 is {'path'"),
}


@pytest.mark.parametrize("part", ["train", "query", "gallery"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_entries_are_one_line(name: str, part: str) -> None:
    entries, expected = WRONG[name]
    with pytest.raises(CCAFLError) as error:
        own(**{"train": GOOD, part: entries})
    assert str(error.value).startswith(f"Own, list {part}: ")
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_right_entries_stay_the_same_objects() -> None:
    for entries in (GOOD, [(*entry, 0) for entry in GOOD], [list(entry) for entry in GOOD], []):
        assert checked_entries(entries, "train", "Own") is entries


RIGHT: dict[str, Callable[[], Any]] = {
    "pathlib": lambda: [(Path(path), pid, camid) for path, pid, camid in GOOD],
    "NumPy's numbers": lambda: [(path, np.int64(pid), np.int32(camid)) for path, pid, camid in GOOD],
    "a generator": lambda: (entry for entry in GOOD),
    "zip": lambda: zip(*zip(*GOOD, strict=True), strict=True),
    "tuples": lambda: tuple(GOOD),
    "three rows": lambda: [("a.jpg", 0, 0), ("b.jpg", 1, 0), ("c.jpg", 1, 1)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_other_forms_that_mean_the_same(name: str) -> None:
    dataset = own(RIGHT[name](), RIGHT[name](), RIGHT[name]())
    for part in (dataset.train, dataset.query, dataset.gallery):
        assert [(path, int(pid), int(camid)) for path, pid, camid, _ in part] == GOOD
        assert all(type(path) is str for path, *_ in part)


def test_pathlib_paths_reach_a_batch(pictures: Path) -> None:
    files = sorted((pictures / "market1501").rglob("*.jpg"))[:4]
    entries = [(file, number, 0) for number, file in enumerate(files)]
    dataset = own(entries, entries, entries, transform=lambda image: torch.zeros(1))
    (batch,) = torch.utils.data.DataLoader(dataset, batch_size=4)
    assert batch["impath"] == [str(file) for file in files]


def test_tracklets_of_videos() -> None:
    entries = [((Path("a.jpg"), Path("b.jpg")), 0, 0)]
    assert checked_entries(entries, "train", "Own") == [(("a.jpg", "b.jpg"), 0, 0)]
    with pytest.raises(CCAFLError, match=r"entry 0 has the path \(\), expected text"):
        checked_entries([((), 0, 0)], "train", "Own")


def test_a_query_person_without_gallery_under_combineall() -> None:
    query = [("q.jpg", 98, 0)]
    with pytest.raises(CCAFLError, match=r"^data\.combineall: person 98 of the query q\.jpg is not in Own's gallery"):
        own(GOOD, query, GOOD, combineall=True)
    assert len(own(GOOD, [("q.jpg", 1, 1)], GOOD, combineall=True).train) == 7


def test_combineall_without_query_and_gallery() -> None:
    with pytest.raises(CCAFLError, match=r"^data\.combineall: Own has no query and gallery to add"):
        own(GOOD, [], [], combineall=True)


# The lists behind a manager


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize(("person", "camera", "what"), [(-5, 0, "person -5"), (3, -1, "camera -1")])
def test_labels_below_0_name_the_file(part: int, person: int, camera: int, what: str) -> None:
    lists: list[list[tuple[Any, ...]]] = [[], [], []]
    lists[part] = [("good.jpg", 0, 0, 0), ("bad.jpg", person, camera, 0)]
    with pytest.raises(CCAFLError, match=rf"^toy: the image bad\.jpg of its \w+ list is of {what};"):
        check_labels(*lists, "toy")


def test_distractors_of_a_gallery() -> None:
    check_labels([("a", 0, 0, 0)], [("b", 0, 0, 0)], [("c", -1, 0, 0)], "toy")


def test_gaps_between_people() -> None:
    train = [("a.jpg", 0, 0, 0), ("b.jpg", 7, 0, 0)]
    with pytest.raises(CCAFLError, match=r"^loss\.name: softmax needs people numbered 0 to 1 .* b\.jpg is of person 7"):
        check_classes(train, 2, "softmax")
    with pytest.raises(CCAFLError, match=r"^loss\.name: triplet tells people apart, but the training set has 1\."):
        check_classes(train[:1], 1, "triplet")
    check_classes([("a.jpg", 0, 0, 0), ("b.jpg", 1, 0, 0)], 2, "softmax")


def test_no_batch() -> None:
    with pytest.raises(CCAFLError, match=r"^train\.batch_size: 32 images of a batch .* \(3 training images\)\. Set "):
        check_batches(GOOD, 0, 32)
    check_batches(GOOD, 1, 3)


def test_what_was_left_out_is_counted(tmp_path: Path) -> None:
    for name in ("1_c1.jpg", "-1_c1.jpg", "-1_c2.jpg", "2_c1.JPG", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"")
    listed = [(str(tmp_path / "1_c1.jpg"), 1, 0, 0)]
    assert list(left_out_lines("toy", [listed, []])) == [
        f"toy: 2 images are left out, junk (person -1), e.g. {tmp_path / '-1_c1.jpg'}",
        f"toy: 1 images are left out, in none of its lists, e.g. {tmp_path / '2_c1.JPG'}",
    ]
