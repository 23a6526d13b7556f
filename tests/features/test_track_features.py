"""Tracks out of features of images, against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.association import spread_inside, whiten
from ccafl_plugin.features import track_features as module
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.track_features import labels_of, notes_on, tracks_of
from ccafl_plugin.utils.errors import CCAFLError

DIGEST = "ab" * 32


def images_of(features: torch.Tensor, **columns: list[str]) -> FeatureSet:
    """A feature set whose paths are numbers."""
    return FeatureSet(features, {"path": [f"{row}.jpg" for row in range(len(features))], **columns}, DIGEST)


def some_images(**columns: list[str]) -> FeatureSet:
    """Six images: tracks 1 (two images) and 2 of camera a, 1 and 10 (two images) of camera b."""
    known = {"camera": ["b", "a", "a", "b", "a", "b"], "track": ["10", "1", "2", "1", "1", "10"], **columns}
    return images_of(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), **known)


@given(n=st.integers(4, 30), seed=st.integers(0, 2**31), whitening=st.sampled_from([0.0, 0.5]))
def test_features_are_the_means_that_training_takes(n: int, seed: int, whitening: float) -> None:
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.standard_normal((n, 5)) * rng.uniform(0.1, 9, (n, 1))).float()
    cameras = ["north", "south", *rng.choice(["north", "south", "east"], n - 2).tolist()]
    ids = rng.integers(0, 4, n).astype(str).tolist()
    images = images_of(rows, camera=cameras, id=ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AT_ONCE", 3)
        tracks = tracks_of(images, whitening=whitening)
    keys = sorted(set(zip(cameras, ids, strict=True)))
    assert list(zip(tracks.cameras, tracks.names, strict=True)) == keys
    means, labels = [], torch.tensor([keys.index(key) for key in zip(cameras, ids, strict=True)])
    unit = torch.stack([row / row.norm() for row in rows.double()])
    for place in range(len(keys)):
        of_track = [row for row in range(n) if labels[row] == place]
        assert tracks.images[place].tolist() == of_track
        means.append(torch.stack([unit[row] for row in of_track]).mean(dim=0))
    expected = torch.stack([mean / mean.norm() for mean in means])
    if whitening:
        expected = whiten(expected, spread_inside(unit, torch.stack(means), labels), whitening)
    torch.testing.assert_close(tracks.features, expected, atol=1e-9, rtol=0)


def test_names_come_in_natural_order() -> None:
    tracks = tracks_of(some_images())
    assert tracks.cameras == ["a", "a", "b", "b"] and tracks.names == ["1", "2", "1", "10"]
    assert [rows.tolist() for rows in tracks.images] == [[1, 4], [2], [3], [0, 5]]
    assert tracks.camera_numbers.tolist() == [0, 0, 1, 1]
    assert tracks.called(3) == "'10' in 'b'"


def test_any_column_may_say_who_is_who() -> None:
    images = some_images(id=["x", "y", "y", "x", "y", "x"])
    assert len(tracks_of(images)) == 4  # track comes before id
    assert len(tracks_of(images, "id")) == 2
    assert len(tracks_of(images, "path")) == 6


def test_what_is_said() -> None:
    assert notes_on(tracks_of(some_images())) == [
        "4 tracks of 2 cameras, 6 images: 1 to 2 of a track, median 1.5",
        "note: 2 of 4 tracks have one image, whose feature is the track's; several images per track are safer",
    ]
    notes = notes_on(tracks_of(some_images(), "path"))
    assert notes[1].startswith("note: every track has one image")
    alike = some_images(track=["Anna", "anna", "an na", "1", "anna", "ANNA"], camera=["b", "a", "a", "B", "a", "b"])
    _, _, tracks, cameras = notes_on(tracks_of(alike))
    assert tracks == (
        "warning: the tracks 'ANNA' and 'Anna' and 1 more pairs differ by case or blanks only and are taken as two; "
        "make them equal if they are one"
    )
    assert cameras.startswith("warning: the cameras 'B' and 'b' differ by case")


def test_labels() -> None:
    images = some_images(id=["x", "y", "", "", "y", "x"])
    tracks = tracks_of(images, "path")
    assert tracks.cameras == ["a", "a", "a", "b", "b", "b"]
    with pytest.raises(CCAFLError, match=r"'id' names nobody in two cameras"):
        labels_of(tracks, images, "id")
    images = some_images(id=["y", "y", "", "", "y", "y"])
    assert labels_of(tracks_of(images), images, "id") == ["y", "", "", "y"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, r"no column 'camera', only path\. Extract them again with --pattern"),
        ({"camera": ["a", "b", "a"]}, r"no column 'track', only path, camera\. Extract them again"),
        ({"camera": ["a"] * 3, "id": list("xyz")}, r"all 3 images are of the camera 'a'; nobody can be found again"),
        (
            {"camera": ["a", "", "b"], "id": list("xyz")},
            r"1 of 3 images have nothing in the column 'camera', e.g. 1",
        ),
        ({"camera": list("aab"), "id": ["x", "", ""]}, r"2 of 3 images have nothing in the column 'id'.* \(row 1\)"),
    ],
)
def test_what_can_not_be_associated(columns: dict[str, list[str]], message: str) -> None:
    with pytest.raises(CCAFLError, match=message):
        tracks_of(images_of(torch.eye(3), **columns))


def test_wrong_labels() -> None:
    images = some_images(id=["x", "y", "z", "x", "z", "x"])
    with pytest.raises(CCAFLError, match="'1' in 'a' is 'y' and 'z' in the column 'id'"):
        labels_of(tracks_of(images), images, "id")
    with pytest.raises(CCAFLError, match=r"--truth: the column: 'ids' is not available\. Did you mean 'id'"):
        labels_of(tracks_of(images), images, "ids")
