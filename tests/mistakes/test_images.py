"""Images of the wrong name, kind or content in every set of Market-1501's and DukeMTMC-reID's layout: the file is named
in one line before a model is built."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from ccafl_plugin.data.dataset_checks import check_sources
from ccafl_plugin.integration.torchreid_names import dataset_classes
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import in_child
from tests.layouts import write_dukemtmcreid, write_market1501
from tests.mistakes.conftest import Refused
from tests.mistakes.folders import BROKEN, SPLITS, base_of, copy_of, first_image, put


@pytest.fixture(scope="session")
def duke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound-duke")
    write_dukemtmcreid(root, identities=4, cameras=2, images=2, test_identities=3)
    return root


OF_DUKE = ("-s", "dukemtmcreid", "-t", "dukemtmcreid")

MARKET_NAMES = {
    "preview.jpg": "has no name such as 0002_c1s1_000451_03.jpg",
    "abc_c1s1_000001_00.jpg": "has no name such as",
    "0007-c1s1_000001_00.jpg": "has no name such as",
    "0007_cam1.jpg": "has no name such as",
    "0007_c0s1_000001_00.jpg": "is of camera 0; torchreid takes 1 to 6",
    "0007_c7s1_000001_00.jpg": "is of camera 7",
    "0007_c12s1_000001_00.jpg": "is of camera 12",
    "1600_c1s1_000001_00.jpg": "is of person 1600; torchreid takes 0 to 1501",
    "-5_c1s1_000001_00.jpg": "is of person -5",
}
DUKE_NAMES = {
    "preview.jpg": "has no name such as 0005_c2_f0046985.jpg",
    "0007_c0_f0000001.jpg": "is of camera 0; torchreid takes 1 to 8",
    "0007_c9_f0000001.jpg": "is of camera 9",
    "0007_c12_f0000001.jpg": "is of camera 12",
    "-1_c1_f0000001.jpg": "is of person -1",
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", MARKET_NAMES, ids=range(len(MARKET_NAMES)))
def test_names_of_market1501(
    name: str, split: str, market: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(market, tmp_path / "root")
    put(base_of(root) / split, name)
    line = refused(f"market1501: {base_of(root) / split / name} {MARKET_NAMES[name]}", root=root)
    assert "Rename or remove it, or read the images as the dataset folder" in line
    count["images and lists: names"] += 1


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", DUKE_NAMES, ids=range(len(DUKE_NAMES)))
def test_names_of_dukemtmcreid(
    name: str, split: str, duke: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(duke, tmp_path / "root")
    put(base_of(root) / split, name)
    file = base_of(root) / split / name
    refused(f"dukemtmcreid: {file} {DUKE_NAMES[name]}", first=OF_DUKE, root=root)
    count["images and lists: names"] += 1


@pytest.mark.parametrize(
    "name", ["preview.jpg", "0000_c9s1_000001_00.jpg", "0000_c12s1_000001_00.jpg"], ids=["name", "9", "12"]
)
def test_names_of_the_distractors(
    name: str, market: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(market, tmp_path / "root")
    base = base_of(root)
    shutil.copytree(base / "query", base / "images", copy_function=os.link)
    put(base / "images", name)
    refused(str(base / "images" / name), "market1501.use_500k_distractors", "True", root=root)
    count["images and lists: names"] += 1


@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".png"])
@pytest.mark.parametrize("split", SPLITS)
def test_half_of_the_files_have_another_ending(
    split: str, ending: str, market: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(market, tmp_path / "root")
    files = sorted((base_of(root) / split).glob("*.jpg"))
    for file in files[::2]:
        file.rename(file.with_suffix(ending))
    refused(f"{len(files[::2])} of {len(files)} images in {base_of(root) / split} do not end in .jpg", root=root)
    count["images and lists: endings that torchreid passes by"] += 1


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("what", ["missing", "empty", "a file", "junk only", "off the pattern only"])
def test_sets_without_people(
    what: str, split: str, market: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(market, tmp_path / "root")
    folder = base_of(root) / split
    files = sorted(folder.iterdir())
    for number, file in enumerate(files):
        if what == "junk only":
            file.rename(folder / f"-1_c1s1_{number:06d}_00.jpg")
        elif what == "off the pattern only":
            file.rename(folder / f"picture {number}.jpg")
        else:
            file.unlink()
    if what in ("missing", "a file"):
        folder.rmdir()
    if what == "a file":
        folder.write_text("", encoding="utf-8")
    refused(str(folder), root=root)
    count["images and lists: sets without people"] += 1


@pytest.mark.parametrize("name", ["run_12_c3", "-1_c1s", "7_c0"])
@pytest.mark.parametrize("dataset", ["market1501", "dukemtmcreid"])
def test_a_root_that_reads_like_a_label(
    name: str, dataset: str, market: Path, duke: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = copy_of(market if dataset == "market1501" else duke, tmp_path / name / "data")
    line = refused("data.root: torchreid would take", first=("-s", dataset, "-t", dataset), root=root)
    assert str(root) in line
    link = tmp_path / "plain"
    link.symlink_to(root)
    check_sources(link, [dataset], [dataset], dataset_classes())  # the remedy
    count["images and lists: roots"] += 1


@pytest.mark.parametrize("letter", ["[1]", "a*", "a?"])
@pytest.mark.parametrize("dataset", ["market1501", "dukemtmcreid", "viper", "grid", "ilids", "cuhk01", "cuhksysu"])
def test_a_root_that_torchreid_takes_for_a_pattern(
    letter: str, dataset: str, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    root = tmp_path / f"data{letter}"
    root.mkdir()
    refused(f"data.root: {root} holds a ", first=("-s", dataset, "-t", dataset), root=root)
    count["images and lists: roots"] += 1


@pytest.mark.parametrize("closed", ["", "market1501", "market1501/Market-1501-v15.09.15/query"])
def test_a_folder_that_may_not_be_read(closed: str, count: Counter[str]) -> None:
    # Root may read everything, so it becomes nobody: pytest's own folders are closed to nobody, and TMPDIR may be.
    with tempfile.TemporaryDirectory(dir="/var/tmp" if os.geteuid() == 0 else None) as name:
        root = Path(name)
        write_market1501(root, identities=1, cameras=1, images=1, test_identities=1)
        for folder, _, _ in os.walk(root):
            os.chmod(folder, 0o755)

        def read() -> None:
            if os.geteuid() == 0:
                os.seteuid(65534)
            with pytest.raises(CCAFLError, match=r"(?i)permission denied") as error:
                check_sources(root, ["market1501"], ["market1501"], dataset_classes())
            assert str(root / closed) in str(error.value) and "\n" not in str(error.value)

        os.chmod(root / closed, 0o000)
        try:
            in_child(read)
        finally:
            os.chmod(root / closed, 0o755)
    count["images and lists: folders that may not be read"] += 1


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_is_no_image(
    kind: str, split: str, market: Path, tmp_path: Path, refused: Refused, count: Counter[str]
) -> None:
    """Of whatever set, before training and whatever engine runs."""
    root = copy_of(market, tmp_path / "root")
    name = BROKEN[kind](first_image(base_of(root) / split))
    engine = ("loss.name", "softmax", "sampler.train_sampler", "RandomSampler") if len(kind) % 2 else ()
    line = refused(f"{name} can't be read as an image: ", *engine, root=root)
    assert line.startswith("error: market1501: ") and line.endswith("Replace or remove the file.\n")
    count["images and lists: files that are no images"] += 1


def test_several_broken_images_are_counted(market: Path, tmp_path: Path, refused: Refused) -> None:
    root = copy_of(market, tmp_path / "root")
    for split in SPLITS:
        BROKEN["cut off"](first_image(base_of(root) / split))
        BROKEN["empty"](max((base_of(root) / split).glob("*.jpg")))
    line = refused("Replace or remove the file. (2 of 16 images can't be read; this is the first.)", root=root)
    assert line.endswith("first.)\n")


def test_there_are_enough() -> None:
    """At least 90 in this file; test_lists and test_own_classes have more."""
    assert len(SPLITS) * (len(MARKET_NAMES) + len(DUKE_NAMES) + len(BROKEN)) >= 90
