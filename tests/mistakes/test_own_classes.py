"""A dataset class of somebody's own behind the command: its lists are looked at before a model is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torchreid

from ccafl_plugin.integration.torchreid_layout import attribute
from ccafl_plugin.runs.train_command import main
from tests.mistakes.conftest import SMALL, Refused
from tests.mistakes.folders import base_of

Lists = tuple[Any, Any, Any]
SOFTMAX = ("loss.name", "softmax", "sampler.train_sampler", "RandomSampler")
TRIPLET = ("loss.name", "triplet", "sampler.train_sampler", "RandomIdentitySampler")


@pytest.fixture
def own(market: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[Any]], Lists]], None]:
    """Registers the dataset ``toy``; a function makes its lists of sixteen entries (path, person, camera)."""
    files = sorted(str(file) for file in (base_of(market) / "bounding_box_train").glob("*.jpg"))
    entries = [(file, number // 4, number % 2) for number, file in enumerate(files)]
    assert len(entries) == 16
    registry = attribute("data.datasets", "__image_datasets", dict)

    def register(make: Callable[[list[Any]], Lists]) -> None:
        class Toy(torchreid.data.ImageDataset):
            def __init__(self, root: str = "", **settings: Any) -> None:
                super().__init__(*make(list(entries)), **settings)

        monkeypatch.setitem(registry, "toy", Toy)

    return register


def alike(change: Callable[[Any], Any]) -> Callable[[list[Any]], Lists]:
    """All three lists changed alike."""
    return lambda entries: (change(entries), change(entries), change(entries))


def raising(error: Exception) -> Callable[[list[Any]], Lists]:
    def make(entries: list[Any]) -> Lists:
        raise error

    return make


WRONG: dict[str, tuple[Callable[[list[Any]], Lists], tuple[str, ...], str]] = {
    "people as text": (alike(lambda e: [(p, f"{i:04d}", c) for p, i, c in e]), (), "is '0000', text; number them"),
    "cameras as text": (alike(lambda e: [(p, i, f"c{c}") for p, i, c in e]), (), "is 'c0', text; number them"),
    "columns": (alike(lambda e: [list(column) for column in zip(*e, strict=True)]), (), "columns in place of rows"),
    "gaps, softmax": (alike(lambda e: [(p, 3 * i, c) for p, i, c in e]), SOFTMAX, "numbered 0 to 3 without gaps"),
    "gaps, triplet": (alike(lambda e: [(p, i + 1, c) for p, i, c in e]), TRIPLET, "numbered 0 to 3 without gaps"),
    "one person": (alike(lambda e: [(p, 0, c) for p, i, c in e]), SOFTMAX, "tells people apart"),
    "fewer than a batch": (lambda e: (e[::3], e, e), SOFTMAX, "train.batch_size: 8 images of a batch are more than"),
    "a person below 0": (alike(lambda e: [(p, i - 1, c) for p, i, c in e]), (), "is of person -1"),
    "a camera below 0": (alike(lambda e: [(p, i, c - 1) for p, i, c in e]), (), "is of camera -1"),
    "a camera below 0 in the gallery": (
        lambda e: (e, e, [(p, i, -1) for p, i, c in e]),
        (),
        "gallery list is of camera",
    ),
    "no images": (lambda e: ([], [], []), (), "has no training images"),
    "no query": (lambda e: (e, [], e), (), "toy has no query images"),
    "no gallery": (lambda e: (e, e, []), (), "toy has no gallery images"),
    "no match in another camera": (alike(lambda e: [(p, i, 0) for p, i, c in e]), (), "no query of toy has a match"),
    "files that are not there": (alike(lambda e: [(f"{p}x", i, c) for p, i, c in e]), (), "it does not exist"),
    "an exception with a text": (raising(RuntimeError("the disk is elsewhere")), (), "the disk is elsewhere"),
    "an exception without one": (raising(AssertionError()), (), "toy: torchreid can't read it below"),
    "a key": (raising(KeyError(98)), (), "there is no entry 98"),
    "of many lines": (raising(OSError("one\ntwo\nthree")), (), "one two three"),
    "a query person without gallery": (
        lambda e: (e, e, [entry for entry in e if entry[1] != 2]),
        ("data.combineall", "True"),
        "data.combineall: person 2 of the query",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_lists(name: str, own: Callable[..., None], refused: Refused, count: Counter[str]) -> None:
    make, settings, expected = WRONG[name]
    own(make)
    refused(expected, *settings, first=("-s", "toy", "-t", "toy"))
    count["images and lists: lists of somebody's own classes"] += 1


@pytest.mark.parametrize("settings", [(), SOFTMAX], ids=["ccafl", "softmax"])
def test_pathlib_paths_and_gaps_are_fine_where_they_can_be(
    settings: tuple[str, ...],
    own: Callable[..., None],
    market: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gap = 1 if settings else 5
    own(alike(lambda entries: [(Path(path), gap * person, camera) for path, person, camera in entries]))
    start = ["-s", "toy", "-t", "toy", "--root", str(market), "--"]
    code = main([*start, *SMALL, "data.save_dir", str(tmp_path / "log"), *settings])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "mAP: " in printed.out


def test_what_is_left_out_is_printed(own: Callable[..., None], market: Path, tmp_path: Path, capsys: Any) -> None:
    own(lambda entries: (entries[2:], entries[2:], entries[2:]))
    arguments = ["test.evaluate", "True", "data.save_dir", str(tmp_path / "log")]
    assert main(["-s", "toy", "-t", "toy", "market1501", "--root", str(market), "--", *SMALL, *arguments]) == 0
    out = capsys.readouterr().out
    assert "\ntoy: 2 images are left out, in none of its lists, e.g. " in out
    assert "\nmarket1501: 2 images are left out, junk (person -1), e.g. " in out
