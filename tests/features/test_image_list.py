"""Which images a folder has, and what is known of each."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from ccafl_plugin.features.image_list import list_images
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import write


def test_paths_only(tmp_path: Path) -> None:
    write(tmp_path, "b/2.png", "a.JPG", "c/.hidden.png", ".cache/x.png", "note.txt/deep.png")
    found = list_images(tmp_path)
    assert found.columns == {"path": [str(tmp_path / name) for name in ("a.JPG", "b/2.png", "note.txt/deep.png")]}
    assert len(found) == 3 and "Nothing but the paths is known" in found.notes[0]


def test_a_pattern_with_or_without_ids(tmp_path: Path) -> None:
    write(tmp_path, "anna_c1_0007.png", "bob_c2_0010.png", "other.png")
    found = list_images(tmp_path, "{id}_c{camera}_{frame}.png", fps=4)
    assert found.columns["camera"] == ["1", "2"] and found.columns["id"] == ["anna", "bob"]
    assert found.columns["frame"] == [7, 10] and found.columns["time"] == [1.75, 2.5]
    assert found.notes == ["1 images do not fit the pattern and are left out, e.g. other.png"]
    without = list_images(tmp_path, "*_c{camera}_*.png")
    assert set(without.columns) == {"path", "camera"}


def test_ids_that_look_alike_are_named(tmp_path: Path) -> None:
    write(tmp_path, "hall/Anna/1.png", "hall/anna /1.png", "yard/ANNA/1.png")
    (note,) = list_images(tmp_path, "tree").notes
    assert note.startswith("warning: the ids 'Anna' and 'anna ' differ by case or blanks only and are taken as two")
    (note,) = list_images(tmp_path, "{camera}/A*/*.png").notes
    assert "do not fit" in note  # without ids there is nothing to compare


def test_a_tree(tmp_path: Path) -> None:
    write(tmp_path, "hall/anna/1.png", "yard/1/2.png")
    found = list_images(tmp_path, "tree")
    assert (found.columns["camera"], found.columns["id"]) == (["hall", "yard"], ["anna", "1"])


def test_a_table_with_boxes(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png", height=90, width=120)
    text = "path,id,camera,frame,x,y,w,h\n1.png,anna,hall,3,10,10,20,40\n2.png,bob,yard,,,,,\n"
    (tmp_path / "people.csv").write_text(text)
    found = list_images(tmp_path, table="people.csv", fps=2)
    rows = {path.endswith("2.png"): place for place, path in enumerate(found.paths)}
    assert found.columns["id"][rows[True]] == "bob" and found.columns["camera"][rows[False]] == "hall"
    assert found.columns["time"][rows[False]] == 1.5 and found.columns["time"][rows[True]] is None
    assert all(Path(path).is_file() for path in found.paths)


def test_times_of_a_table(tmp_path: Path) -> None:
    write(tmp_path, *(f"{n}.png" for n in range(4)))
    rows = "0.png,a,h,4,1970-01-01T00:01:00\n1.png,a,h,4,2.5\n2.png,a,h,4,\n3.png,a,h,,\n"
    (tmp_path / "t.csv").write_text(f"path,id,camera,frame,time\n{rows}")
    assert list_images(tmp_path, table="t.csv").columns["time"] == [60.0, 2.5, None, None]
    assert list_images(tmp_path, table="t.csv", fps=2).columns["time"] == [60.0, 2.5, 2.0, None]
    (tmp_path / "t.csv").write_text("path,id,camera,time\n0.png,a,h,noon\n")
    with pytest.raises(CCAFLError, match=r"--table: .*t\.csv, row 2: time: 'noon' is no time"):
        list_images(tmp_path, table="t.csv")


def test_tracks(tmp_path: Path) -> None:
    write(tmp_path, *(f"yard/img1/{n:06d}.png" for n in range(1, 4)), height=120, width=160)
    (tmp_path / "yard" / "gt").mkdir()
    rows = "".join(f"{frame},{track},{40 * track},20,30,60,1,1,1\n" for frame in range(1, 4) for track in (1, 2))
    (tmp_path / "yard" / "gt" / "gt.txt").write_text(rows)
    found = list_images(tmp_path, tracks=True, fps=1)
    assert set(found.columns) == {"path", "camera", "track", "frame", "time"}
    assert set(found.columns["track"]) == {"1", "2"} and set(found.columns["camera"]) == {"yard"}
    assert set(found.columns["frame"]) == {1, 2, 3}  # some crops are too blurred


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "{id}/x"}, r"--pattern: '{id}/x' fits none of 1 images below .*: nearest is 'a\.png'"),
        ({"pattern": "{idd}"}, r"--pattern: in '{idd}' the part: 'idd' is not available\. Did you mean 'id'"),
        ({"pattern": "{frame}.png"}, r"--pattern: in 'a\.png' the part {frame} is 'a', not a number"),
        ({"pattern": "tree", "tracks": True}, "--pattern, --table and --tracks say the same in three ways"),
        ({"table": "none.csv"}, r"--table: there is no file 'none\.csv'"),
        ({"fps": 5}, "--fps: nothing says the frame of an image"),
        ({"fps": -1}, "--fps: -1 frames in a second can't be"),
        ({"fps": math.inf}, "--fps: inf frames in a second can't be"),
        ({"fps": math.nan}, "--fps: nan frames in a second can't be"),
        ({"table": "small.csv"}, r"^boxes: nothing is left .*1 small.*; boxes of at least 32 x 16 pixels, not hidden"),
    ],
)
def test_one_line_errors(tmp_path: Path, settings: dict, message: str) -> None:
    write(tmp_path, "a.png")
    (tmp_path / "small.csv").write_text("path,id,camera,x,y,w,h\na.png,1,1,2,2,8,8\n")
    with pytest.raises(CCAFLError, match=message) as caught:
        list_images(tmp_path, **settings)
    assert "\n" not in str(caught.value) and not re.search(r"ccafl\.data|data\.root", str(caught.value))


def test_no_images_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match="holds no image"):
        list_images(tmp_path)
    with pytest.raises(CCAFLError, match=r"nothing is no folder; name the one with the images"):
        list_images(tmp_path / "nothing")
