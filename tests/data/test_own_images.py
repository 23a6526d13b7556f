"""Reading folders, tables and splits: right values, and one line for whatever is wrong."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from ccafl_plugin.data.image_records import Record, look_alike_ids, natural_key, numbered
from ccafl_plugin.data.own_images import read_own_folder
from ccafl_plugin.own_settings import CropRules, OwnData
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import write


def read(root: Path, **own: object):
    return read_own_folder(root, OwnData(**own))


def fails(message: str):
    return pytest.raises(CCAFLError, match=message)


def test_a_tree_with_ids_per_camera(tmp_path: Path) -> None:
    write(tmp_path, "cam10/Anna/1.jpg", "cam2/Anna/1.JPG", "cam2/bob/2.png", "cam2/Anna/deeper/0.jpg")
    (tmp_path / "cam2" / "notes.txt").touch()
    write(tmp_path, "ccafl-files/x/y/z.jpg", ".hidden/a/b.jpg")
    found = read(tmp_path, ids="per_camera")
    assert found.images.cameras == ("cam2", "cam10")
    names = [(Path(path).name, pid, camera) for path, pid, camera, _ in found.images.train]
    assert names == [("1.JPG", 0, 0), ("0.jpg", 0, 0), ("2.png", 1, 0), ("1.jpg", 2, 1)]
    assert found.images.train_ids == (("cam2", "Anna"), ("cam2", "bob"), ("cam10", "Anna"))
    assert found.notes == []
    across = read(tmp_path)
    assert across.images.train_ids == (("", "Anna"), ("", "bob"))


def test_splits_by_pattern_and_what_does_not_fit(tmp_path: Path) -> None:
    write(tmp_path, "Train/a_1_x.jpg", "query/b_1_x.jpg", "test/b_2_x.jpg", "test/odd.jpg")
    found = read(tmp_path, pattern="{split}/{id}_{camera}_*.jpg")
    assert [len(part) for part in (found.images.train, found.images.query, found.images.gallery)] == [1, 1, 1]
    assert found.images.query[0][1] == found.images.gallery[0][1]
    assert found.notes == ["1 images do not fit the pattern and are left out, e.g. test/odd.jpg"]
    with fails(r"in 'Train/a_1_x\.jpg' the part \{split\}.*'a' is not available.*Choose one of: gallery, query, train"):
        read(tmp_path, pattern="*/{split}_{id}_*.jpg")


@pytest.mark.parametrize(
    ("names", "pattern", "message"),
    [
        ([], "", r"holds no image \(\.jpg"),
        (
            ["a.txt.jpg"],
            "",
            r"fits none of 1 images below .*nearest is 'a\.txt\.jpg', where '/' is expected.*a folder per camera",
        ),
        (["a/b/c.jpg"], "{camera}_{id}.jpg", r"nearest is 'a/b/c\.jpg', where '_' is expected after '\{camera\}'"),
        (["a/b/c.jpg"], "{camera}/{name}/*", r"the part: 'name' is not available"),
        (["c/x_k.jpg"], "{camera}/{id}_{frame}.jpg", r"in 'c/x_k\.jpg' the part \{frame\} is 'k', not a number"),
    ],
)
def test_folders_that_cannot_be_read(tmp_path: Path, names: list[str], pattern: str, message: str) -> None:
    write(tmp_path, *names)
    with fails(message) as error:
        read(tmp_path, pattern=pattern)
    assert "\n" not in str(error.value)


def test_without_cameras(tmp_path: Path) -> None:
    write(tmp_path, "anna/1.jpg")
    assert read(tmp_path, pattern="{id}/*").images.cameras == ("",)
    with fails(
        r"intra-camera supervision needs it: name the part .* by \{camera\} .*configs/own/without_cameras\.yaml"
    ):
        read(tmp_path, pattern="{id}/*", needs_cameras=True)
    (tmp_path / "t.csv").write_text("path,id\nanna/1.jpg,a\n")
    assert len(read(tmp_path, table="t.csv").images.train) == 1
    with fails(r"add a column 'camera' to .*t\.csv"):
        read(tmp_path, table="t.csv", needs_cameras=True)


def table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    write(root, "a.jpg", "sub/b.jpg", "c.jpg")
    (root / "t.csv").write_bytes(text.encode(encoding))
    return root


def test_a_table(tmp_path: Path) -> None:
    table(
        tmp_path,
        '\ufeffcamera\tid\tpath\tsplit\n1\tJörg\ta.jpg\t\n\n2\t"a\tb"\tsub/b.jpg\tquery\n1\tJörg\tc.jpg\ttest\n',
    )
    found = read(tmp_path, table="t.csv")
    assert [(r.id, r.camera, r.split, r.origin[-5:]) for r in found.records] == [
        ("Jörg", "1", "train", "row 2"),
        ("a\tb", "2", "query", "row 4"),
        ("Jörg", "1", "gallery", "row 5"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"t\.csv has an empty first row; it names the columns: path, id"),
        (" , ,\na.jpg,1,1\n", r"has an empty first row"),
        ("path,id,camera\n", r"has no row below its first one"),
        ("file,id,camera\na.jpg,1,1\n", r"has no column 'path' in its first row \('file', 'id', 'camera'\)"),
        ("path,ids,camera\na.jpg,1,1\n", r"no column 'id' .*; is it 'ids'\?"),
        ("path,id,id\na.jpg,1,1\n", r"has the column 'id' twice"),
        ("path,id,camera\na.jpg,1,1\nd.jpg,1,1\n", r"t\.csv, row 3: there is no .*d\.jpg; paths are taken from"),
        ("path,id,camera\na.jpg,1,1\nsub,1,1\n", r"row 3: .*sub is a folder"),
        ("path,id,camera\na.jpg,1,1\n./a.jpg,2,1\n", r"row 3: '\./a\.jpg' stands in row 2 already; remove one"),
        ("path,id,camera\na.jpg,1,1\nsub/../a.jpg,2,1\n", r"row 3: 'sub/\.\./a\.jpg' stands in row 2 already"),
        ("path,id,camera\na.jpg, ,1\n", r"row 2: no id; fill the cell"),
        ("path,id,camera\na.jpg,1,\n", r"row 2: no camera"),
        ("path,id,camera\na.jpg,1\n", r"row 2: 2 cells, but 3 columns"),
        ("path,id,camera,split\na.jpg,1,1,trian\n", r"row 2: split: 'trian' is not available\. Did you mean 'train'"),
        ("path,id,camera,frame\na.jpg,1,1,x\n", r"row 2: frame is 'x', not a whole number"),
        ("path,id,camera,x,y,w\na.jpg,1,1,1,1,1\n", r"has x, y, w of a box; all of x, y, w, h are needed"),
        ("path,id,camera,x,y,w,h\na.jpg,1,1,1,1,1,\n", r"row 2: the box 1, 1, 1,  is not four numbers"),
        ("path,id,camera,x,y,w,h\na.jpg,1,1,1,1,0,5\n", r"row 2: the box 1, 1, 0, 5 has no area"),
        ('path,id,camera\n"a.jpg,1,1\n', r"t\.csv, row"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    with fails(rf"ccafl\.data\.table: .*(?:{message})") as error:
        read(table(tmp_path, text), table="t.csv")
    assert "\n" not in str(error.value)


def test_files_that_are_no_table(tmp_path: Path) -> None:
    with fails(r"t\.csv is not UTF-8 \(byte \d+\); save it as CSV UTF-8"):
        read(table(tmp_path, "path,id,camera\na.jpg,Jörg,1\n", "latin-1"), table="t.csv")
    with fails(r"ccafl\.data\.table: there is no file 'other\.csv'"):
        read(tmp_path, table="other.csv")


def test_boxes_of_a_table_are_cut(tmp_path: Path) -> None:
    write(tmp_path, "a.png", height=100, width=100)
    (tmp_path / "t.csv").write_text("path,id,camera,x,y,w,h\na.png,1,1,10,5,30,60\na.png,2,1,60,10,60,80\n")
    found = read(tmp_path, table="t.csv", crops=CropRules(blur=0))
    assert len(found.images.train) == 2
    assert found.notes == ["Boxes: 2 images of 2 tracks out of 2 boxes; 1 cut off at the picture's edge"]


def test_boxes_outside_of_all_pictures(tmp_path: Path) -> None:
    write(tmp_path, "a.png", height=100, width=100)
    (tmp_path / "t.csv").write_text("path,id,camera,x,y,w,h\na.png,1,1,100,5,30,60\na.png,2,1,5,-70,60,60\n")
    with fails(r"t\.csv, row 2: this box and all others \(2\) lie outside their pictures; a box is left, top, width"):
        read(tmp_path, table="t.csv")


def test_ids_that_differ_by_case_or_blanks(tmp_path: Path) -> None:
    write(tmp_path, "1/Anna/a.jpg", "1/anna /a.jpg", "2/ANNA/a.jpg")
    (note,) = read(tmp_path, ids="per_camera").notes
    assert re.match(r"warning: the ids 'Anna' and 'anna ' differ by case or blanks only", note)
    (note,) = read(tmp_path).notes
    assert "and 1 more pairs" in note


def test_look_alikes_are_counted_once() -> None:
    records = [Record("", identity, camera) for identity, camera in (("a", "1"), ("A", "1"), ("b", "1"), ("B", "2"))]
    assert look_alike_ids(records, ids_hold_across=False) == [("A", "a")]
    assert look_alike_ids(records, ids_hold_across=True) == [("A", "a"), ("B", "b")]


def test_natural_order() -> None:
    names = ["cam10", "cam2", "Cam3", "cam02", "", "10", "9", "cam"]
    assert sorted(names, key=natural_key) == ["", "9", "10", "cam", "cam02", "cam2", "Cam3", "cam10"]


def test_numbers_do_not_depend_on_the_order_of_the_records() -> None:
    records = [Record(f"p{i}", str(i % 3), f"c{i % 2}", "train" if i % 4 else "gallery") for i in range(12)]
    assert numbered(records, True) == numbered(records[::-1], True)


def labelled(root: Path) -> Path:
    return write(root, *(f"{camera}/{person}/{n}.jpg" for person in range(6) for camera in "ab" for n in range(2)))


def test_a_split_by_people_is_drawn_once_and_kept(tmp_path: Path) -> None:
    labelled(tmp_path)
    found = read(tmp_path, test_share=0.3, seed=4)
    trained, tested = (
        {r.id for r in found.records if r.split == "train"},
        {r.id for r in found.records if r.split != "train"},
    )
    assert len(tested) == 2
    assert not trained & tested
    assert len(found.images.train), (len(found.images.query), len(found.images.gallery)) == (16, 4, 8)
    file = tmp_path / "ccafl-files" / "split-seed4-share0.3.csv"
    assert str(file) in found.notes[0]
    text = file.read_text()
    again = read(tmp_path, test_share=0.3, seed=4)
    assert again.images == found.images
    assert file.read_text() == text
    as_table = read(tmp_path, table=str(file))  # what was written is a table
    assert [entry[0].replace("ccafl-files/../", "") for entry in as_table.images.train] == [
        entry[0] for entry in found.images.train
    ]
    others = [read(tmp_path, test_share=0.3, seed=seed).images for seed in range(5, 9)]
    assert any(other != found.images for other in others)
    write(tmp_path, "a/9/new.jpg")
    with fails(r"split-seed4-share0\.3\.csv was drawn for other images, .*new\.jpg is new; remove the file"):
        read(tmp_path, test_share=0.3, seed=4)


def test_splits_that_make_no_sense(tmp_path: Path) -> None:
    labelled(tmp_path)
    with fails(r"ccafl\.data\.test_share: held-out people can be scored only where ids hold across"):
        read(tmp_path, test_share=0.3, ids="per_camera")
    with fails(r"test_share: 1\.0 is out of range, it must be at least 0 and below 1"):
        read(tmp_path, test_share=1.0)
    single = write(tmp_path / "single", "a/1/x.jpg", "b/2/x.jpg")
    with fails(r"0 people were seen by several cameras"):
        read(single, test_share=0.5)


def test_labelled_queries_beside_ids_per_camera(tmp_path: Path) -> None:
    labelled(tmp_path)
    with open(tmp_path / "q.csv", "w", newline="") as opened:
        rows = [["path", "id", "camera"], *([f"{c}/{p}/0.jpg", f"person {p}", c] for p in range(2) for c in "ab")]
        csv.writer(opened).writerows(rows)
    found = read(tmp_path, ids="per_camera", queries="q.csv")
    images = found.images
    assert (len(images.train), len(images.query), len(images.gallery)) == (24, 4, 4)
    assert images.test_ids == ("person 0", "person 1")
    assert len(images.train_ids) == 12
    assert "4 images of" in found.notes[0] and "are trained on, too" in found.notes[0]
    (tmp_path / "q.csv").write_text("path,id,camera,split\na/0/0.jpg,1,a,train\n")
    with fails(r"ccafl\.data\.queries: .*has images to train on"):
        read(tmp_path, ids="per_camera", queries="q.csv")
