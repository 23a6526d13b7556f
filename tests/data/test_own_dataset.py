"""``folder`` and ``tracks`` in torchreid's own builders and engines; lists that are empty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torchreid
from torch.utils.tensorboard import SummaryWriter

from ccafl_plugin.integration.torchreid_layout import attribute
from ccafl_plugin.options import options
from ccafl_plugin.own_settings import OwnData
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import write
from tests.engine.small_runs import Recorder, assert_equal, make_engine, make_manager, make_terms, weights

WINDOWS = {"proxy_classifier": (0, -1), "icdl": (0, -1), "inter": (0, -1)}


@pytest.fixture(scope="module")
def own_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [f"{camera}/{person}/{n}.png" for camera in ("a", "b", "c") for person in "uvwxyz" for n in range(3)]
    return write(tmp_path_factory.mktemp("own"), *names)


def manager_of(root: Path, **settings: object):
    with options.override(own_data=OwnData("per_camera")):
        return make_manager(root, sources="folder", **settings)


def test_the_table_counts_proxies(own_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manager_of(own_root)
    printed = capsys.readouterr().out
    assert printed.count("=> Loaded folder") == 1
    assert "subset   | # proxies | # images | # cameras" in printed
    assert "train    |        18 |       54 |         3" in printed
    assert "query" not in printed
    torchreid.data.datasets.init_image_dataset("folder", root=str(own_root))
    assert "train    |     6 |       54 |         3" in capsys.readouterr().out


class Kept(SummaryWriter):
    """Keeps the names of all numbers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(log_dir=str(folder))
        self.names: set[str] = set()

    def add_scalar(self, tag: str, *args: object, **settings: object) -> None:
        self.names.add(tag)
        super().add_scalar(tag, *args, **settings)


def test_nothing_speaks_of_true_identities(own_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine(
        own_root, manager_of(own_root), terms=make_terms(WINDOWS), association="margin", ids="per_camera"
    )
    engine.writer = Kept(tmp_path)
    engine.run(save_dir=str(tmp_path), max_epoch=2)
    printed = capsys.readouterr().out
    assert "precision" not in printed and "recall" not in printed
    assert printed.count("No evaluation on folder: ") == 1
    assert "Rank-1" not in printed
    names = {name.partition("/")[2] for name in engine.writer.names if name.startswith("Association/")}
    assert names == {
        *("pseudo_identities", "proxies", "groups", "grouped", "mean_margin", "stability"),
        *("camera_accuracy", "camera_chance"),
    }
    first, second = engine.history.association
    assert "stability" not in first and 0 <= second["stability"] <= 1
    assert not {"precision", "recall"} & {*first, *second}
    assert sum(int(size) * count for size, count in second["sizes"].items()) == round(second["grouped"] * 18)
    assert engine.results == {}


def test_a_resumed_run_notes_what_the_unbroken_one_does(own_root: Path, tmp_path: Path) -> None:
    def engine_of():
        return make_engine(
            own_root, manager_of(own_root), terms=make_terms(WINDOWS), association="margin", ids="per_camera"
        )

    whole = engine_of()
    whole.run(save_dir=str(tmp_path / "whole"), max_epoch=3)
    engine_of().run(save_dir=str(tmp_path / "part"), max_epoch=2)
    resumed = engine_of()
    start = resumed.resume(str(tmp_path / "part"))
    resumed.run(save_dir=str(tmp_path / "part"), max_epoch=3, start_epoch=start)
    assert_equal(weights(whole), weights(resumed))
    assert json.dumps(resumed.history.association) == json.dumps(whole.history.association)


def test_full_supervision_is_refused(own_root: Path) -> None:
    with pytest.raises(CCAFLError, match=r"supervision: full supervision needs ids that are valid across cameras"):
        make_engine(own_root, manager_of(own_root), ids="per_camera", supervision="full")


def test_ids_of_marketslayout_may_be_per_camera(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The numbers stay, nothing is said of precision; scores come from query and gallery as ever."""
    reports = []
    for ids in ("across_cameras", "per_camera"):
        engine = make_engine(pictures, terms=make_terms(WINDOWS), association="margin", ids=ids)
        recorder = Recorder(engine)
        engine.run(save_dir=str(tmp_path / ids), max_epoch=1)
        reports.append((recorder.reports, engine.results))
    assert reports[0] == reports[1]
    assert capsys.readouterr().out.count("precision") == 1


def test_torchreids_own_engine_without_query(
    own_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = manager_of(own_root, train_sampler="RandomSampler")
    model = torchreid.models.build_model("clip_tiny", manager.num_train_pids, loss="softmax", pretrained=False)
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-3)
    engine = torchreid.engine.ImageSoftmaxEngine(manager, model, optimizer, use_gpu=False)
    engine.test()
    assert "No evaluation on folder" in capsys.readouterr().out
    assert engine.test_loader is manager.test_loader


def test_empty_lists_of_any_dataset(tmp_path: Path) -> None:
    dataset = torchreid.data.ImageDataset
    images = [(f"{n}.jpg", n, n, 0) for n in range(3)]
    assert dataset(images, [], [], verbose=False).query == []
    tested = dataset([], images, images, mode="query", verbose=False)
    assert (len(tested), tested.num_train_pids, tested.train) == (3, 0, [])
    assert len(dataset(images, [], [], mode="gallery", verbose=False)) == 0
    assert dataset(images, [], [], verbose=False) + dataset(images, images, [], verbose=False)
    with pytest.raises(CCAFLError, match=r"data\.sources: ImageDataset has no training images"):
        dataset([], images, images)
    with pytest.raises(CCAFLError, match=r"data\.combineall: .* no query and gallery to add"):
        dataset(images, [], [], combineall=True)


def test_settings_of_the_dataset_itself(own_root: Path) -> None:
    classes = attribute("data.datasets", "__image_datasets", dict)
    dataset = classes["folder"](root=str(own_root), own=OwnData(pattern="{camera}/{id}/1.png"), verbose=False)
    assert len(dataset.train) == 18
    with pytest.raises(CCAFLError, match=r"data\.combineall: folder trains on what its data say"):
        classes["folder"](root=str(own_root), combineall=True)
