"""``tools/check_data.py``: what it finds, with remedies, and the page of pictures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ccafl_plugin.runs.check_command import main
from tests.data import own_layouts
from tests.data.own_pictures import write

NAMES = [f"{camera}/{person}/{n}.png" for camera in ("hall", "yard") for person in "abcd" for n in range(4)]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*pairs: str, root: Path = tmp_path / "own", features: bool = False) -> tuple[int, str, str]:
        file = ["--config-file", "configs/own/ccafl_margin_tiny.yaml", "--root", str(root)]
        options = ["--out", str(tmp_path / "page"), *([] if features else ["--no-features"])]
        code = main([*file, *options, "data.workers", "0", "use_gpu", "False", *pairs])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_sound_data(check: Callable, tmp_path: Path) -> None:
    write(tmp_path / "own", *NAMES)
    code, out, err = check()
    assert (code, err) == (0, "")
    assert re.search(r"camera +images +proxies +smallest +median +largest\n", out)
    assert re.search(r"hall +16 +4 +4 +4 +4\n", out)
    assert "smallest: 'a' in 'hall' (4), " in out
    assert "warning: no query and no gallery: a trained model is saved, not evaluated. Name a few labelled" in out
    assert out.count("warning") == 1 and "error" not in out
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 and "hall" in page
    with Image.open(tmp_path / "page" / "camera-1.jpg") as sheet:
        assert sheet.format == "JPEG" and np.asarray(sheet).std() > 10


def test_everything_that_is_wrong_at_once(check: Callable, tmp_path: Path) -> None:
    root = write(tmp_path / "own", *NAMES)
    (root / "hall/a/4.png").write_bytes(b"no picture")
    shutil.copy(root / "hall/a/0.png", root / "hall/a/5.png")
    shutil.copy(root / "hall/b/0.png", root / "hall/c/9.png")
    with Image.open(root / "yard/a/0.png") as picture:
        picture.save(root / "yard/b/8.jpg", quality=90)
    write(root, "yard/A /0.png", height=20, width=10, first=500)
    write(root, "gate/z/0.png", first=600)
    code, out, _ = check()
    assert code == 1
    for line in (
        r"error: 1 images can't be read, e\.g\. .*4\.png can't be read as an image: .*Training stops at them",
        r"warning: 1 pairs of images of one label are the same file, e\.g\. .*0\.png and .*5\.png\. They add little",
        r"warning: 1 pairs of images with different labels are the same file, .*One of the two labels is wrong",
        r"warning: 1 pairs of images with different labels are nearly the same picture, e\.g\. .*8\.jpg",
        r"warning: 1 of 38 images are less than half as high as the model's 96 x 48, .*\(10 x 20\)\. Leave them out",
        r"warning: 1 cameras saw one id only \('gate'\): nothing is learned inside them\. Add people",
        r"warning: 2 of 10 proxies \(20%\) have one image",
        r"warning: the ids 'a' and 'A ' differ by case or blanks only",
    ):
        assert re.search(line, out), line
    assert (tmp_path / "page" / "doubts.jpg").is_file()


def test_labels_across_cameras_that_are_none(check: Callable, tmp_path: Path) -> None:
    write(tmp_path / "own", *(name.replace("yard/", "yard/y") for name in NAMES))
    _, out, _ = check("ccafl.data.ids", "across_cameras")
    assert "no id occurs in two cameras, so these ids hold inside a camera only. Set ccafl.data.ids per_camera" in out


def test_people_who_are_trained_and_tested_on(check: Callable, tmp_path: Path) -> None:
    write(tmp_path / "own", *(f"{split}/{name}" for split in ("train", "query", "gallery") for name in NAMES[:20]))
    pattern = ["ccafl.data.ids", "across_cameras", "ccafl.data.pattern", "{split}/{camera}/{id}/*"]
    _, out, _ = check(*pattern)
    assert "4 people are trained and tested on, e.g. 'a'. Split by people" in out
    assert "12 of 20 queries have no gallery image of another camera" in out


def test_one_camera_and_data_that_are_not_there(check: Callable, tmp_path: Path) -> None:
    write(tmp_path / "own", *NAMES[:16])
    code, out, _ = check()
    assert code == 1
    assert "error: all training images are of one camera: nothing can be associated. Add a second camera" in out
    code, _, err = check(root=tmp_path / "nothing")
    assert code == 2
    assert re.match(r"error: data\.root: [^\n]*nothing does not exist[^\n]*\n$", err)


def test_planted_mistakes_in_rendered_people(check: Callable, rendered: Path, tmp_path: Path) -> None:
    """An id that holds two people is found by the features of the small CLIP of the package."""
    root = own_layouts.write_tree(rendered, tmp_path / "own")
    for camera in own_layouts.CAMERAS[2:]:
        shutil.rmtree(root / camera)
    ids = sorted(path for path in (root / "entrance").iterdir() if len(list(path.iterdir())) >= 4)
    for file in ids[3].iterdir():
        file.rename(ids[0] / file.name)
    ids[3].rmdir()
    code, out, err = check(root=root, features=True)
    assert code == 0, err
    assert re.search(rf"ids may hold two people: .*\({re.escape(repr(ids[0].name))} in 'entrance'", out)
    assert "may be two people" in out or (tmp_path / "page" / "doubts.jpg").is_file()
