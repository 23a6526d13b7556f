"""MSMT17's list files, the other datasets of torchreid with files missing, and data of one's own: one line each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.own_pictures import write
from tests.layouts import write_msmt17
from tests.mistakes.conftest import Refused
from tests.mistakes.folders import base_of, copy_of, replace


@pytest.fixture(scope="session")
def msmt17(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound-msmt17")
    write_msmt17(root, identities=4, cameras=2, images=3, test_identities=3)
    return root


LINES: dict[str, tuple[bytes, str]] = {
    "no number": (b"0000/0000_000_01_0303morning_0008_0.jpg\n", "line 2: expected an image and a person's number"),
    "three words": (b"0000/0000_000_01_0303 morning.jpg 0\n", "line 2: expected an image"),
    "a number that is none": (b"0000/0000_000_01_0303morning_0008_0.jpg x\n", "line 2: expected an image"),
    "a fraction": (b"0000/0000_000_01_0303morning_0008_0.jpg 1.5\n", "line 2: expected an image"),
    "no camera": (b"0000/0000.jpg 0\n", "line 2: expected an image"),
    "a camera that is no number": (b"0000/0000_000_a_0303morning_0008_0.jpg 0\n", "line 2: expected an image"),
    "not UTF-8": (b"0000/0000_000_01_\xff\xfe.jpg 0\n", "is no text in UTF-8"),
    "a person below 0": (b"0000/0000_000_01_0303morning_0008_0.jpg -5\n", "is of person -5"),
    "camera 0": (b"0000/0000_000_00_0303morning_0008_0.jpg 0\n", "is of person 0, camera 0"),
    "camera -1": (b"0000/0000_000_-1_0303morning_0008_0.jpg 0\n", "is of person 0, camera -1"),
    "an image that is not there": (b"0000/none_1_01_x.jpg 0\n", "lists 0000/none_1_01_x.jpg, which is not in"),
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("file", ["list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt"])
def test_lines_of_msmt17(
    file: str, name: str, msmt17: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(msmt17, tmp_path / "root")
    path = base_of(root) / file
    first, *others = path.read_bytes().splitlines(keepends=True)
    line, expected = LINES[name]
    replace(path, b"".join([first, line, *others]))
    for dataset in ("msmt17", "msmt17_trainval"):
        message = refused(expected, first=("-s", dataset, "-t", dataset), root=root)
        assert str(path) in message
    count["images and lists: lines of MSMT17's lists"] += 1


@pytest.mark.parametrize("file", ["list_train.txt", "list_query.txt", "list_gallery.txt"])
@pytest.mark.parametrize("what", ["missing", "empty", "blank", "a folder"])
def test_lists_of_msmt17(
    file: str, what: str, msmt17: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(msmt17, tmp_path / "root")
    path = base_of(root) / file
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what != "missing":
        path.write_text("" if what == "empty" else "\n \n\t\n", encoding="utf-8")
    for dataset in ("msmt17", "msmt17_trainval"):
        refused(str(path), first=("-s", dataset, "-t", dataset), root=root)
    count["images and lists: MSMT17's list files"] += 1


OTHERS: dict[str, tuple[str, ...]] = {
    "cuhk01": ("campus",),
    "cuhk02": ("Dataset/P1/cam1", "Dataset/P5/cam2"),
    "cuhk03": ("cuhk03_release",),
    "viper": ("VIPeR/cam_a", "VIPeR/cam_b"),
    "grid": ("underground_reid/probe", "underground_reid/gallery"),
    "prid": ("prid_2011/single_shot/cam_a", "prid_2011/single_shot/cam_b"),
    "ilids": ("i-LIDS_Pedestrian/Persons",),
    "sensereid": ("SenseReID/test_probe", "SenseReID/test_gallery"),
    "university1652": ("University-Release/train", "University-Release/test/query_drone"),
    "cuhksysu": ("cropped_images",),
}
FOLDERS = {"prid": "prid2011"}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("what", ["nothing", "an empty folder", "something else", "empty folders"])
def test_other_datasets_with_files_missing(
    what: str, name: str, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    """Nothing is written beside them: torchreid would make splits without people, which stay."""
    if name == "cuhk03":
        pytest.importorskip("h5py", reason="cuhk03 needs it")
    root = tmp_path / "root"
    base = root / FOLDERS.get(name, name)
    root.mkdir()
    if what != "nothing":
        base.mkdir()
    if what == "something else":
        (base / "readme.txt").write_text("", encoding="utf-8")
    if what == "empty folders":
        for folder in OTHERS[name]:
            (base / folder).mkdir(parents=True)
    line = refused(name, first=("-s", name, "-t", name), root=root)
    assert str(base) in line or f"has no folder {base.name}" in line
    assert not list(root.rglob("*.json"))
    count["images and lists: other datasets of torchreid with files missing"] += 1


def viper(root: Path) -> str:
    """Not as many of one camera as of the other."""
    folder = root / "viper/VIPeR"
    write(folder, "cam_a/000_45.bmp", "cam_a/001_0.bmp", "cam_b/000_90.bmp")
    return "len(cam_a_imgs) == len(cam_b_imgs) does not hold"


def viper_splits(root: Path) -> str:
    viper(root)
    (root / "viper/splits.json").write_text('{"train": ', encoding="utf-8")
    return "splits.json"


def viper_old_splits(root: Path) -> str:
    """Of another place."""
    viper(root)
    part = [[f"/gone/00{person}_{45 * (1 + camera)}.bmp", person, camera] for person in (0, 1) for camera in (0, 1)]
    splits = [{"train": part, "query": part[:1], "gallery": part[1:]}]
    (root / "viper/splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return "/gone/000_45.bmp can't be read as an image: it does not exist"


def grid(root: Path) -> str:
    folder = root / "grid/underground_reid"
    write(folder, "probe/0001_1_x.jpeg", "gallery/0001_2_x.jpeg")
    (folder / "features_and_partitions.mat").write_bytes(b"no such thing")
    return "grid: torchreid can't read it"


def grid_name(root: Path) -> str:
    folder = root / "grid/underground_reid"
    write(folder, "probe/0001_1_x.jpeg", "gallery/0001-2.jpeg")
    return f"{folder}/gallery/0001-2.jpeg has no name such as"


def ilids_name(root: Path) -> str:
    write(root / "ilids/i-LIDS_Pedestrian/Persons", "0001001.jpg", "person.jpg")
    return f"{root}/ilids/i-LIDS_Pedestrian/Persons/person.jpg has no name such as 0001001.jpg"


def ilids(root: Path) -> str:
    write(root / "ilids/i-LIDS_Pedestrian/Persons", "0001001.jpg")
    return "There should be 476 images, but got 1"


def cuhk01(root: Path) -> str:
    write(root / "cuhk01/campus", "0001001.png", "person.png")
    return "person.png"


def cuhk01_camera(root: Path) -> str:
    write(root / "cuhk01/campus", "0001001.png", "0001005.png")
    return f"cuhk01: {root}/cuhk01/campus/0001005.png has no name such as 0001001.png"


def cuhk01_archive(root: Path) -> str:
    (root / "cuhk01").mkdir()
    (root / "cuhk01/CUHK01.zip").write_bytes(b"<html>")
    return "zip"


def sensereid(root: Path) -> str:
    folder = root / "sensereid/SenseReID"
    write(folder, "test_probe/00001_0.jpg", "test_probe/photo.jpg", "test_gallery/00001_1.jpg")
    return "photo.jpg"


def sensereid_alone(root: Path) -> str:
    """A query person without gallery."""
    folder = root / "sensereid/SenseReID"
    write(folder, "test_probe/00001_0.jpg", "test_probe/00098_0.jpg", "test_gallery/00001_1.jpg")
    return "there is no entry 98"


def university1652(root: Path) -> str:
    folder = root / "university1652/University-Release"
    write(folder, "train/drone/0839/a.jpg", "train/drone/new/a.jpg", "test/query_drone/0001/a.jpg")
    write(folder, "test/gallery_satellite/0001/a.jpg")
    return f"{folder}/train/drone/new/a.jpg"


def prid(root: Path) -> str:
    folder = root / "prid2011/prid_2011/single_shot"
    write(folder, "cam_a/person_0001.png", "cam_b/person_0001.png")
    return "can't be read as an image: it does not exist"


def cuhk02(root: Path) -> str:
    folder = root / "cuhk02/Dataset"
    write(folder, *(f"P{pair}/cam{camera}/001_1.png" for pair in range(1, 6) for camera in (1, 2)))
    write(folder, "P5/cam1/photo.png")
    return f"{folder}/P5/cam1/photo.png"


def cuhk03(root: Path) -> str:
    pytest.importorskip("h5py", reason="cuhk03 needs it")
    base = root / "cuhk03"
    (base / "cuhk03_release").mkdir(parents=True)
    for name in ("cuhk03_release/cuhk-03", "cuhk03_new_protocol_config_detected", "cuhk03_new_protocol_config_labeled"):
        (base / f"{name}.mat").write_bytes(b"no such thing")
    return "cuhk03: torchreid can't read it"


OTHER_MISTAKES: dict[str, Callable[[Path], str]] = {
    made.__name__: made
    for made in (
        *(viper, viper_splits, viper_old_splits, grid, grid_name, ilids, ilids_name, prid, university1652),
        *(cuhk01, cuhk01_camera, cuhk01_archive, cuhk02, cuhk03, sensereid, sensereid_alone),
    )
}


@pytest.mark.parametrize("name", OTHER_MISTAKES)
def test_other_datasets_with_wrong_files(name: str, tmp_path: Path, refused: Refused, count: Counter[str]) -> None:
    """Whatever torchreid raises: one line with the dataset's name, and the file where its code knew one."""
    root = tmp_path / "root"
    root.mkdir()
    expected = OTHER_MISTAKES[name](root)
    dataset = name.partition("_")[0]
    engine = ("loss.name", "softmax", "sampler.train_sampler", "RandomSampler", "train.batch_size", "2")
    line = refused(expected, *engine, first=("-s", dataset, "-t", dataset), root=root)
    assert dataset in line
    count["images and lists: other datasets of torchreid with wrong files"] += 1
