from __future__ import annotations

import pickle

import pytest
import torchreid

from ccafl_plugin.data.datasets import find_msmt17, read_market_folder, read_msmt17_list
from ccafl_plugin.integration.data_manager import DATASETS as BUILDERS
from ccafl_plugin.options import options
from ccafl_plugin.synthetic.renderer import SIZES, Size
from ccafl_plugin.utils.errors import CCAFLError
from tests.layouts import Folder, write_market1501, write_msmt17

DATASETS = {name: build(torchreid) for name, build in BUILDERS.items()}


def names(data):
    return [path.rsplit("/", 1)[-1] for path, *_ in data]


def test_names():
    assert set(DATASETS) == {"synthetic_persons", "msmt17_trainval", "folder", "tracks"}
    assert all(issubclass(dataset, torchreid.data.ImageDataset) for dataset in DATASETS.values())


# msmt17_trainval


@pytest.mark.parametrize("version", ["MSMT17_V1", "MSMT17_V2"])
def test_msmt17_trains_on_both_lists_and_no_test_image(tmp_path, version):
    folder: Folder = write_msmt17(tmp_path, version=version)
    dataset = DATASETS["msmt17_trainval"](root=str(tmp_path), verbose=False)
    main, train, test = find_msmt17(tmp_path)
    lists = {part: read_msmt17_list(main / f"list_{part}.txt", train) for part in ("train", "val")}
    assert lists["train"] and lists["val"]
    assert sorted(item[:3] for item in dataset.train) == sorted(lists["train"] + lists["val"])
    assert dataset.train == sorted(dataset.train)
    assert {pid for _, pid, *_ in dataset.train} == set(range(dataset.num_train_pids))
    assert all(path.startswith(str(train)) for path, *_ in dataset.train)
    assert all(path.startswith(str(test)) for path, *_ in dataset.query + dataset.gallery)
    assert (len(dataset.query), len(dataset.gallery)) == (folder.query, folder.gallery)


def test_msmt17_agrees_with_torchreids_own_class(tmp_path):
    write_msmt17(tmp_path)
    ours = DATASETS["msmt17_trainval"](root=str(tmp_path), verbose=False)
    theirs = torchreid.data.datasets.init_image_dataset("msmt17", root=str(tmp_path), verbose=False)
    assert ours.query == theirs.query
    assert ours.gallery == theirs.gallery
    assert set(theirs.train) < set(ours.train)


def test_msmt17_refuses_to_train_on_test_images(tmp_path):
    write_msmt17(tmp_path)
    with pytest.raises(CCAFLError, match=r"data\.combineall"):
        DATASETS["msmt17_trainval"](root=str(tmp_path), combineall=True)


def test_msmt17_that_is_not_there(tmp_path):
    with pytest.raises(CCAFLError, match="neither MSMT17_V1 nor MSMT17_V2"):
        DATASETS["msmt17_trainval"](root=str(tmp_path))


def test_msmt17_with_a_broken_list(tmp_path):
    write_msmt17(tmp_path)
    main, train, _ = find_msmt17(tmp_path)
    (main / "list_val.txt").write_text("0000/0000_000_01_0303morning_0008_0.jpg 0\n\nnonsense\n")
    with pytest.raises(
        CCAFLError, match=r"list_val\.txt, line 3: expected an image and a person's number, found 'nonsense'"
    ):
        read_msmt17_list(main / "list_val.txt", train)
    (main / "list_val.txt").unlink()
    with pytest.raises(CCAFLError, match=r"list_val\.txt is missing"):
        DATASETS["msmt17_trainval"](root=str(tmp_path))


# Market-1501's file names


def test_market_folder_agrees_with_torchreids_own_class(tmp_path):
    write_market1501(tmp_path)
    theirs = torchreid.data.datasets.init_image_dataset("market1501", root=str(tmp_path), verbose=False)
    base = tmp_path / "market1501" / "Market-1501-v15.09.15"
    query, gallery = read_market_folder(base / "query"), read_market_folder(base / "bounding_box_test")
    assert query == sorted(item[:3] for item in theirs.query)
    assert gallery == sorted(item[:3] for item in theirs.gallery)
    train = read_market_folder(base / "bounding_box_train", relabel=True)
    assert names(train) == sorted(names(theirs.train))
    assert {pid for _, pid, _ in train} == set(range(theirs.num_train_pids))
    first = [pid for _, pid, _ in train]
    assert first == sorted(first)


def test_a_file_that_is_named_otherwise(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(CCAFLError, match=r"holiday\.jpg has no file name as in Market-1501"):
        read_market_folder(tmp_path)


def test_cameras_of_two_digits(tmp_path):
    (tmp_path / "0012_c13s2_000451_03.jpg").touch()
    assert [item[1:] for item in read_market_folder(tmp_path)] == [(12, 12)]


# synthetic_persons


def test_synthetic_persons(tmp_path, monkeypatch):
    """Made on first use below a root that need not exist, then read like any dataset of torchreid."""
    monkeypatch.setitem(SIZES, "mini", Size(6, 3, 1))
    with options.override(synthetic_size="mini", synthetic_seed=2):
        first = DATASETS["synthetic_persons"](root=str(tmp_path / "root"), verbose=False)
        again = DATASETS["synthetic_persons"](root=str(tmp_path / "root"), verbose=False)
    named = DATASETS["synthetic_persons"](root=str(tmp_path / "root"), size="mini", seed=2, verbose=False)
    assert first.train == again.train == named.train
    assert first.num_train_pids == 6
    assert sorted(names(first.train)) == names(first.train)
    assert all(0 <= camid < 6 for _, _, camid, _ in first.train)


def test_synthetic_persons_before_more_cameras(tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "mini", Size(8, 3, 1))
    with options.override(synthetic_size="mini", synthetic_cameras=14):
        many = DATASETS["synthetic_persons"](root=str(tmp_path), verbose=False)
    named = DATASETS["synthetic_persons"](root=str(tmp_path), size="mini", cameras=14, verbose=False)
    assert many.train == named.train
    assert max(camid for _, _, camid, _ in many.train) > 5
    usual = DATASETS["synthetic_persons"](root=str(tmp_path), size="mini", verbose=False)
    assert max(camid for _, _, camid, _ in usual.train) < 6


def test_datasets_reach_workers_that_are_not_forked(tmp_path, monkeypatch):
    """Such a worker gets the dataset pickled, and finds its class by name."""
    monkeypatch.setitem(SIZES, "mini", Size(6, 3, 1))
    init_image_dataset = torchreid.data.datasets.init_image_dataset
    persons = init_image_dataset("synthetic_persons", root=str(tmp_path), size="mini", verbose=False)
    write_msmt17(tmp_path)
    msmt17 = init_image_dataset("msmt17_trainval", root=str(tmp_path), verbose=False)
    for dataset in (persons, msmt17):
        again = pickle.loads(pickle.dumps(dataset))
        assert type(again) is type(dataset)
        assert again.train == dataset.train


def test_synthetic_persons_of_no_known_size(tmp_path):
    with options.override(synthetic_size="huge"), pytest.raises(CCAFLError, match="synthetic_size: 'huge'"):
        DATASETS["synthetic_persons"](root=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_tabs_and_empty_lines_mean_nothing_to_both_classes(tmp_path):
    """torchreid's own reader, which the plugin replaces, reads lists of the published form alike."""
    base = write_msmt17(tmp_path).base
    lists = sorted(base.glob("list_*.txt"))
    before = {name: init(name, tmp_path) for name in ("msmt17", "msmt17_trainval")}
    for file in lists:
        text = file.read_text(encoding="utf-8")
        entries = [line.split(" ") for line in text.splitlines()]
        expected = [(name, int(pid), int(name.split("_")[2]) - 1) for name, pid in entries]
        assert read_msmt17_list(file, base) == [(str(base / name), pid, camera) for name, pid, camera in expected]
        file.write_text("\n" + text.replace(" ", "\t") + "\n \n", encoding="utf-8")
    for name, dataset in before.items():
        again = init(name, tmp_path)
        for part in ("train", "query", "gallery"):
            assert getattr(again, part) == getattr(dataset, part) != []


def init(name, root):
    return torchreid.data.datasets.init_image_dataset(name, root=str(root), verbose=False)
