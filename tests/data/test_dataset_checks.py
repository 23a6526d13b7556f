from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torchreid

import ccafl_plugin  # noqa: F401  registers the datasets
from ccafl_plugin.data import dataset_checks
from ccafl_plugin.data.dataset_checks import CHECKS, check_queries
from ccafl_plugin.data.own_dataset import READERS
from ccafl_plugin.integration.torchreid_names import dataset_classes
from ccafl_plugin.utils.errors import CCAFLError
from tests.layouts import write_dukemtmcreid, write_market1501, write_msmt17

WRITERS = {
    "market1501": write_market1501,
    "dukemtmcreid": write_dukemtmcreid,
    "msmt17": write_msmt17,
    "msmt17_trainval": write_msmt17,
}


def check_sources(root, sources, targets):
    dataset_checks.check_sources(root, sources, targets, dataset_classes())


def fails(message: str):
    return pytest.raises(CCAFLError, match=message)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


# Folders


def test_every_known_layout_has_a_writer():
    assert set(WRITERS) == set(CHECKS) - set(READERS)  # these have tests of their own


@pytest.mark.parametrize("name", WRITERS)
def test_a_complete_folder_passes_here_and_in_torchreid(name, tmp_path):
    written = WRITERS[name](tmp_path)
    check_sources(tmp_path, [name], [name])
    dataset = torchreid.data.datasets.init_image_dataset(name, root=str(tmp_path), verbose=False)
    assert len(dataset.train) == written.train - (written.val if name == "msmt17" else 0)
    assert (len(dataset.query), len(dataset.gallery)) == (written.query, written.gallery)


def test_a_reader_that_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "cuhk03").mkdir()
    monkeypatch.setitem(dataset_checks.READERS, "cuhk03", "no_such_module")
    with fails(r'cuhk03: torchreid needs no_such_module to read it: pip install "ccafl_plugin\[cuhk03\]"\.'):
        check_sources(tmp_path, ["cuhk03"], [])


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_root_is_not_created(name, tmp_path):
    root = tmp_path / "nowhere"
    with fails(rf"data\.root: {root} does not exist\. .* folder of {name}") as error:
        check_sources(root, [name], [name])
    assert not root.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_dataset_is_not_downloaded(name, tmp_path):
    with fails(rf"data\.root: {tmp_path} has no folder .*, which is needed for {name}\. .* not downloaded"):
        check_sources(tmp_path, [name], [name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["market1501", "dukemtmcreid"])
def test_an_empty_training_folder(name, tmp_path):
    empty(WRITERS[name](tmp_path).base / "bounding_box_train")
    with fails(rf"{name}: .*bounding_box_train has no \.jpg image to train on"):
        check_sources(tmp_path, [name], [name])


@pytest.mark.parametrize("name", ["market1501", "dukemtmcreid"])
@pytest.mark.parametrize("split", ["bounding_box_train", "query", "bounding_box_test"])
def test_a_missing_split(name, split, tmp_path):
    shutil.rmtree(WRITERS[name](tmp_path).base / split)
    with fails(rf"{name}: the folder .*{split} is missing"):
        check_sources(tmp_path, [name], [name])


def test_the_older_layout_of_market1501(tmp_path):
    base = write_market1501(tmp_path).base
    for folder in base.iterdir():
        folder.rename(tmp_path / "market1501" / folder.name)
    base.rmdir()
    check_sources(tmp_path, ["market1501"], ["market1501"])


@pytest.mark.parametrize("version", ["MSMT17_V1", "MSMT17_V2"])
@pytest.mark.parametrize("file", ["list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt"])
def test_a_missing_list_of_msmt17(version, file, tmp_path):
    (write_msmt17(tmp_path, version=version).base / file).unlink()
    with fails(rf"msmt17: the list file .*{version}/{file} is missing"):
        check_sources(tmp_path, ["msmt17"], ["msmt17"])


def test_msmt17_in_pieces(tmp_path):
    base = write_msmt17(tmp_path).base
    (base / "list_train.txt").write_text("")
    with fails(r"msmt17_trainval: the list file .*list_train\.txt is empty"):
        check_sources(tmp_path, ["msmt17_trainval"], ["msmt17_trainval"])
    (base / "list_train.txt").write_text("0000/none_1_01_x.jpg 0\n")
    with fails(r"list_train\.txt lists 0000/none_1_01_x\.jpg, which is not in .*train"):
        check_sources(tmp_path, ["msmt17_trainval"], ["msmt17_trainval"])
    shutil.rmtree(base / "train")
    with fails(r"the folder .*train is missing"):
        check_sources(tmp_path, ["msmt17_trainval"], ["msmt17_trainval"])
    shutil.rmtree(base)
    with fails("neither MSMT17_V1 nor MSMT17_V2"):
        check_sources(tmp_path, ["msmt17_trainval"], ["msmt17_trainval"])


def test_rendered_datasets_need_no_root(tmp_path):
    check_sources(tmp_path / "nowhere", ["synthetic_persons"], ["synthetic_persons"])
    with fails(r"data\.root: .* folder of market1501\."):
        check_sources(tmp_path / "nowhere", ["synthetic_persons"], ["market1501"])


def test_other_datasets_of_torchreid(tmp_path):
    with fails(r"has no folder viper, which is needed for viper"):
        check_sources(tmp_path, ["viper"], ["viper"])
    (tmp_path / "viper").mkdir()
    with fails(r"viper: the folder .*viper is empty"):
        check_sources(tmp_path, ["viper"], ["viper"])
    for camera in ("cam_a", "cam_b"):
        (tmp_path / "viper" / "VIPeR" / camera).mkdir(parents=True)
        with fails(rf"viper: there is no file .*VIPeR/{camera}/\*\.bmp\. Unpack the dataset below"):
            check_sources(tmp_path, ["viper"], ["viper"])
        (tmp_path / "viper" / "VIPeR" / camera / "000_0.bmp").write_bytes(b"")
    check_sources(tmp_path, ["viper"], ["viper"])


# Queries


def test_queries_with_a_match():
    check_queries("toy", [("q", 1, 0, 0), ("q", 2, 0, 0)], [("g", 1, 0, 0), ("g", 1, 3, 0)])


@pytest.mark.parametrize("gallery_camera", [0, 5])
def test_queries_without_any_match_in_another_camera(gallery_camera):
    query, gallery = [("q", 1, 0, 0)], [("g", 1, 0, 0), ("g", 2, gallery_camera, 0)]
    with fails(r"data\.targets: no query of toy has a match in another camera"):
        check_queries("toy", query, gallery)


def test_no_query_and_no_gallery():
    with fails("toy has no query images"):
        check_queries("toy", [], [("g", 1, 0)])
    with fails("toy has no gallery images"):
        check_queries("toy", [("q", 1, 0)], [])
