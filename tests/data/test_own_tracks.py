"""Tracks: MOT files, videos and folders of frames, which boxes are cut, and what is said of wrong ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ccafl_plugin.data.crop_choice import clipped, covered_shares, sharp_enough, sharpness, spread
from ccafl_plugin.data.own_images import read_own_tracks
from ccafl_plugin.data.picture_source import frame_files, pictures_of
from ccafl_plugin.own_settings import CropRules, OwnData
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import picture

LOOSE = CropRules(least_height=1, least_width=1, most=0, overlap=1, blur=0)


def write_frames(folder: Path, count: int = 5, name: str = "{:06d}.png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(1, count + 1):
        Image.fromarray(picture(frame, 120, 160)).save(folder / name.format(frame))


def write_video(file: Path, count: int = 5) -> None:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"FFV1"), 10, (160, 120))
    for frame in range(1, count + 1):
        writer.write(cv2.cvtColor(picture(frame, 120, 160), cv2.COLOR_RGB2BGR))
    writer.release()


def read(root: Path, rules: CropRules = LOOSE):
    return read_own_tracks(root, OwnData(ids="per_camera", crops=rules))


def fails(message: str):
    return pytest.raises(CCAFLError, match=message)


ROWS = "1,1,10,20,30,60,1\n2,1,12,20,30,60,1\n2,7,100.4,20,30,60,0.5\n4,7,99,20,30,60,1\n"


@pytest.fixture
def two_cameras(tmp_path: Path) -> Path:
    """One by a video, one in MOT-challenge's layout."""
    write_video(tmp_path / "door.avi")
    (tmp_path / "door.txt").write_text(ROWS)
    write_frames(tmp_path / "hall" / "img1")
    (tmp_path / "hall" / "gt").mkdir()
    (tmp_path / "hall" / "gt" / "gt.txt").write_text("1 1 10 20 30 60 1 1 1\n2 2 0 0 9 9 0 1 1\n3 3 0 0 9 9 1 8 1\n")
    return tmp_path


def test_cameras_ids_and_pixels(two_cameras: Path) -> None:
    found = read(two_cameras)
    assert found.images.cameras == ("door", "hall")
    assert found.images.train_ids == (("door", "1"), ("door", "7"), ("hall", "1"))
    assert [camera for *_, camera, _ in found.images.train] == [0, 0, 0, 0, 1]
    for record, (frame, left) in zip(found.records, [(1, 10), (2, 12), (2, 100), (4, 99), (1, 10)], strict=True):
        assert record.frame == frame
        cut = np.asarray(Image.open(record.path))
        assert np.array_equal(cut, picture(frame, 120, 160)[20:80, left : left + 30])
    assert found.notes == ["Tracks: 5 images of 3 tracks out of 5 boxes"]


def test_crops_are_cut_once(two_cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = read(two_cameras)
    assert "Cutting images" in capsys.readouterr().out
    assert read(two_cameras).images == first.images
    assert "Cutting" not in capsys.readouterr().out
    assert read(two_cameras, dataclasses.replace(LOOSE, most=1)).images != first.images
    (two_cameras / "door.txt").write_text(ROWS.replace("12,20", "13,20"))
    assert read(two_cameras).images.train[0][0] != first.images.train[0][0]
    assert not [path for path in (two_cameras / "ccafl-files").iterdir() if path.name.startswith(".")]


def test_rules_and_counts(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", 12)
    blurred = np.asarray(Image.fromarray(picture(5, 120, 160)).resize((4, 3)).resize((160, 120)))
    Image.fromarray(blurred).save(tmp_path / "a" / "000005.png")
    rows = [f"{frame},1,10,10,40,80,0.9" for frame in range(1, 13)]
    rows += ["1,2,12,12,40,80,0.9"]  # hides track 1 in frame 1, and is hidden
    rows += [
        "2,3,150,100,40,80,0.9",
        "3,3,400,10,40,80,0.9",
        "4,3,60,10,10,80,0.9",
        "6,4,60,10,40,80,0.1",
        "7,4,60,-20,40,80,1",
    ]
    (tmp_path / "a.txt").write_text("\n".join([*rows, "8,-1,1,1,5,5,1"]) + "\n")
    found = read(tmp_path, CropRules(least_height=32, least_width=16, most=4, overlap=0.5, blur=0.3, confidence=0.2))
    assert found.notes[0].endswith("a.txt: 1 lines with the track -1 are left out")
    assert found.notes[1] == (
        "Tracks: 5 images of 2 tracks out of 18 boxes; left out: 6 beyond the number per track, 2 behind others, "
        "2 small, 1 blurred, 1 unsure, 1 outside the picture; 1 cut off at the picture's edge; "
        "2 tracks have no image left"
    )
    assert 5 not in [record.frame for record in found.records]
    frames = [record.frame for record in found.records if record.id == "1"]
    assert frames[0] <= 4 and frames[-1] >= 10


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", r"a\.txt has no track: empty"),
        ("1,-1,0,0,5,5,1\n", r"a\.txt has no track: its 1 lines have the track -1: these are detections"),
        ("1,1,0,0,5\n", r"a\.txt, row 1: '1,1,0,0,5' is not 'frame, id"),
        ("frame,id,x,y,w,h\n", r"a\.txt, row 1: 'frame,id,x,y,w,h' is not"),
        ("\n1,1,0,0,nan,5,1\n", r"a\.txt, row 2: .* is not"),
        ("0,1,0,0,5,5,1\n", r"row 1: frame 0, track 1; frames are whole numbers from 1"),
        ("1,1,0,0,5,0,1\n", r"row 1: the box is 5 x 0 pixels"),
        ("1,1,0,0,5,5,1\n1,1,0,0,5,5,1\n", r"row 2: track 1 is in frame 1 already, by row 1"),
        ("1,1,0,0,5,5,1\n9,1,0,0,5,5,1\n", r"a\.txt, row 2: frame 9 is not in the pictures: .*a holds 5 images"),
        ("1,1,500,0,5,5,1\n", r"a\.txt, row 1: this box and all others \(1\) lie outside their pictures"),
    ],
)
def test_files_of_tracks_that_are_wrong(tmp_path: Path, rows: str, message: str) -> None:
    write_frames(tmp_path / "a")
    (tmp_path / "a.txt").write_text(rows)
    with fails(message) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("ccafl-files/*"))


def test_videos_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(ROWS)
    with fails(r"a\.txt has no pictures; per camera .* needs NAME\.txt beside a video"):
        read(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"no video" * 99)
    with fails(r"a\.mp4 can't be decoded as a video; convert it"):
        read(tmp_path)
    (tmp_path / "a.mp4").unlink()
    write_video(tmp_path / "a.avi", 3)
    with fails(r"a\.txt, row 4: frame 4 is not in the pictures: .*a\.avi has 3 frames; are the two of one recording\?"):
        read(tmp_path)
    with fails(r"holds no tracks; per camera it needs NAME\.txt"):
        read(tmp_path / "ccafl-files")
    with fails(r"ccafl\.data\.ids: a track .* set it to per_camera"):
        read_own_tracks(tmp_path, OwnData())


def test_numbers_of_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "numbered", 2, "frame_{:d}0.jpg")
    assert list(frame_files(tmp_path / "numbered")) == [10, 20]
    write_frames(tmp_path / "named", 3, "{:d}x.jpg")
    assert [path.name for path in frame_files(tmp_path / "named").values()] == ["1x.jpg", "2x.jpg", "3x.jpg"]
    write_frames(tmp_path / "named", 3, "{:02d}x.png")
    (tmp_path / "numbered" / "b10.jpg").write_bytes((tmp_path / "numbered" / "frame_10.jpg").read_bytes())
    with fails(r"b10\.jpg and frame_10\.jpg are both frame 10"):
        frame_files(tmp_path / "numbered")
    write_video(tmp_path / "v.avi")
    assert [frame for frame, _ in pictures_of(tmp_path / "v.avi", [4, 2, 4])] == [2, 4]


def test_clipped_by_hand() -> None:
    assert clipped((10, 20, 30, 60), 100, 100) == (10, 20, 40, 80)
    assert clipped((-10, 20, 30, 90), 100, 100) == (0, 20, 20, 100)
    assert clipped((10, 20, 30, 60), 100, 100, padding=0.1) == (7, 14, 43, 86)
    left, _, right, _ = clipped((200, 0, 30, 60), 100, 100)
    assert right <= left


boxes = st.lists(st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 9)] * 2), min_size=1, max_size=6)


@given(boxes)
def test_covered_shares_equal_counting_pixels(found: list[tuple[int, int, int, int]]) -> None:
    grids = []
    for x, y, w, h in found:
        grid = np.zeros((24, 24), bool)
        grid[y : y + h, x : x + w] = True
        grids.append(grid)
    slow = [
        max([(a & b).sum() / a.sum() for j, b in enumerate(grids) if j != i], default=0) for i, a in enumerate(grids)
    ]
    assert covered_shares(np.array(found, np.float64)) == pytest.approx(slow)


@given(st.integers(0, 40), st.integers(0, 12))
def test_spread(length: int, count: int) -> None:
    chosen = spread(range(length), count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == (length if count == 0 else min(length, count))
    if 1 < len(chosen) < length:
        steps = np.diff(chosen)
        assert steps.max() - steps.min() <= 1
        assert chosen[0] <= steps.max() and length - 1 - chosen[-1] <= steps.max()


def test_sharpness() -> None:
    sharp = picture(1, 128, 64)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 6)
    assert sharpness(blurred) < 0.3 * sharpness(sharp)
    assert sharp_enough([1.0, 10.0, 10.0], 0.3) == [False, True, True]
    assert sharp_enough([], 0.3) == []
    assert all(sharp_enough([0.0, 0.0], 0.3))


@pytest.mark.parametrize(
    ("name", "value"), [("padding", -0.1), ("least_height", 0), ("overlap", 1.5), ("blur", float("nan"))]
)
def test_rules_out_of_range(name: str, value: float) -> None:
    with fails(rf"{name}: .* is out of range"):
        CropRules(**{name: value})
