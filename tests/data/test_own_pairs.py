"""Reading labelled pairs: right values, and one line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccafl_plugin.data.own_pairs import read_pairs
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, "a.png", "b.png", "deep/c.png")


def read(root: Path, *rows: str, head: str = "path_a,path_b,same"):
    (root / "pairs.csv").write_text("\n".join((head, *rows)) + "\n", encoding="utf-8")
    return read_pairs("pairs.csv", root)


def test_pairs_and_their_images(root: Path) -> None:
    found = read(root, "a.png;b.png;Yes;x", "deep/c.png;deep/../a.png;0;", head="path_a;path_b;same;note")
    assert found.images == [str(root / name) for name in ("a.png", "b.png", "deep/c.png")]
    assert found.places.tolist() == [[0, 1], [2, 0]]
    assert found.same.tolist() == [True, False]
    assert found.file == root / "pairs.csv"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.png,b.png,maybe"], r"row 2: same is 'maybe'; write 1 for one person or 0 for two"),
        (["a.png,b.png,"], r"row 2: same is ''"),
        (["a.png,,1"], r"row 2: no path_b"),
        (["a.png,deep,1"], r"row 2: .*deep is a folder"),
        (["a.png,no.png,1"], r"row 2: there is no .*no\.png; paths are taken from the folder of the table"),
        (["a.png,./a.png,1"], r"row 2: both images are 'a\.png'; remove the row"),
        (["a.png,b.png,1", "b.png,a.png,0"], r"row 3: the same two images stand in row 2 already"),
        (["a.png,b.png,1"], r"pairs\.csv has no pair of two people \(same 0\)"),
        (["a.png,b.png,0"], r"pairs\.csv has no pair of one person \(same 1\)"),
        ([], r"pairs\.csv has no row below its first one"),
        (["a.png,b.png"], r"row 2: 2 cells, but 3 columns"),
    ],
)
def test_mistakes_are_one_line(root: Path, rows: list[str], message: str) -> None:
    with pytest.raises(CCAFLError, match=rf"^ccafl\.data\.pairs: .*{message}") as caught:
        read(root, *rows)
    assert "\n" not in str(caught.value)


def test_columns_and_files_are_named(root: Path) -> None:
    with pytest.raises(CCAFLError, match=r"has no column 'path_b' in its first row .*; is it 'path_B'\?$"):
        read(root, "a.png,b.png,1", head="path_a,path_B,same")
    with pytest.raises(CCAFLError, match=r"there is no file 'none\.csv', neither here nor in"):
        read_pairs("none.csv", root)
