"""One command from a folder: settings from the data, a saved model, scores where a few labels are given."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchreid
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import config_file
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.options import options
from ccafl_plugin.runs import results
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.suites.suite_table import _training
from ccafl_plugin.utils.provenance import digest_of
from tests.data.own_pictures import write

SHORT = [
    *["data.height", "64", "data.width", "32", "data.workers", "0", "use_gpu", "False", "train.print_freq", "1000"],
    *["train.max_epoch", "2", "ccafl.iters_per_epoch", "2", "ccafl.stage1.epochs", "1"],
]
NAMES = [f"{camera}/{person}/{n}.png" for camera in ("hall", "yard") for person in "stuvwxyz" for n in range(4)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("own"), *NAMES)


@pytest.fixture
def command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*pairs: str, folder: Path = root) -> tuple[int, str, str]:
        file = "configs/own/ccafl_margin_tiny.yaml"
        log = ["data.save_dir", str(tmp_path / "log")]
        code = main(["--config-file", file, "--root", str(folder), *SHORT, *log, *pairs])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_folder_is_all_it_takes(command: Callable, tmp_path: Path) -> None:
    code, out, err = command()
    assert code == 0, err
    assert "Settings that follow from the data (64 images of 16 proxies in 2 cameras, 4 per proxy (median)):" in out
    assert "  train.batch_size 64\n" in out
    assert "  ccafl.terms.inter.first_epoch 1\n" in out
    assert "  ccafl.iters_per_epoch" not in out  # given by hand
    assert "=> Loaded folder" in out and "# proxies" in out
    assert "No evaluation on folder" in out
    assert "Checkpoint saved" in out
    assert re.search(r"=> Epoch 2: \d+ pseudo identities over 16 of 16 proxies \(\d+ groups with", out)
    assert "pair precision" not in out
    assert (tmp_path / "log" / "model" / "model.pth.tar-2").is_file()
    written = results.read(tmp_path / "log")
    assert written["scores"] == {} and written["test_sets"] == {}
    assert written["training_set"] == {"images": 64, "cameras": 2, "proxies": 16}
    assert not {"precision", "recall"} & set(written["association"][0])
    assert "64 images in 2 cameras (16 proxies)" in _training(written)
    asked_for = load_config(
        config_file("configs/own/ccafl_margin_tiny.yaml"), [*SHORT, "data.save_dir", "elsewhere"], root="elsewhere"
    )
    assert written["config_digest"] == digest_of(results.settings_of(asked_for))  # a suite finds its run again
    assert written["settings"]["train.batch_size"] == 64
    events = EventAccumulator(str(tmp_path / "log")).Reload().Tags()["scalars"]
    assert "Association/grouped" in events
    assert not [name for name in events if "precision" in name or "recall" in name]
    code, _, err = command("test.evaluate", "True", "model.load_weights", str(tmp_path / "log/model/model.pth.tar-2"))
    assert code == 1
    assert re.match(r"error: test\.evaluate: folder has no query and gallery.*ccafl\.data\.queries[^\n]*\n$", err)


def write_pairs(root: Path, file: Path) -> tuple[list, list]:
    """A table of 8 same and 28 different pairs; returns the two kinds."""
    people = [(root / f"hall/{person}/0.png", root / f"yard/{person}/1.png") for person in "stuvwxyz"]
    same = [(first, second, "yes") for first, second in people]
    different = [(people[i][0], people[j][1], "no") for i in range(8) for j in range(i)]
    with open(file, "w", newline="") as opened:
        csv.writer(opened).writerows([("path_a", "path_b", "same"), *same, *different])
    return same, different


def test_it_evaluates_on_a_few_labelled_images_and_pairs(command: Callable, root: Path, tmp_path: Path) -> None:
    with open(tmp_path / "q.csv", "w", newline="") as opened:
        rows = [(root / f"{camera}/{person}/0.png", person, camera) for camera in ("hall", "yard") for person in "stu"]
        csv.writer(opened).writerows([("path", "id", "camera"), *rows])
    write_pairs(root, tmp_path / "pairs.csv")
    queries = ["ccafl.data.queries", str(tmp_path / "q.csv"), "ccafl.camera_probe", "True"]
    queries += ["test.camera_normalization", "mean"]
    code, out, err = command(*queries, "ccafl.data.pairs", str(tmp_path / "pairs.csv"))
    assert code == 0, err
    assert "query    |         3 |        6 |         2" in out
    assert "6 images of" in out and "are trained on, too; scores on them flatter" in out
    assert "mAP: " in out and "No evaluation" not in out
    for file in ("camera_statistics-folder.safetensors", "weights.safetensors"):
        assert CameraStatistics.load(tmp_path / "log" / file).cameras == ("hall", "yard")
    written = results.read(tmp_path / "log")
    assert written["test_sets"]["folder"]["queries"] == 6
    assert "8 same and 28 different pairs of 16 images **" in out
    assert "16 of the images are trained on, too; scores on them flatter" in out
    assert (written["pairs"]["same"], written["pairs"]["different"]) == (8, 28)
    assert f"AUC: {written['pairs']['auc']:.1%}" in out
    assert [rate["false_accept_rate"] for rate in written["pairs"]["accept_rates"]] == [0.1]


def test_a_model_is_tested_on_pairs_alone(command: Callable, root: Path, tmp_path: Path) -> None:
    """The figures are those of features that are computed and compared by hand."""
    same, different = write_pairs(root, tmp_path / "pairs.csv")
    code, out, err = command("ccafl.data.pairs", str(tmp_path / "pairs.csv"), "test.evaluate", "True")
    assert code == 0, err
    printed = re.search(r"AUC: ([\d.]+)%", out)

    options.update(input_size=(64, 32))
    model = torchreid.models.build_model("clip_tiny", 1, loss="triplet", pretrained=True).eval()
    _, transform = torchreid.data.transforms.build_transforms(64, 32, transforms=["bicubic_resize"])

    def feature(path: Path) -> torch.Tensor:
        return model(transform(Image.open(path).convert("RGB"))[None])[0]

    with torch.no_grad():
        cosines = [[float(feature(a) @ feature(b)) for a, b, _ in kind] for kind in (same, different)]
    slow = sum((s > d) + 0.5 * (s == d) for s in cosines[0] for d in cosines[1]) / (8 * 28)
    assert float(printed[1]) / 100 == pytest.approx(slow, abs=0.0006)


def test_without_cameras(command: Callable, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command("ccafl.data.pattern", "*/{id}/*")
    assert code == 2
    assert re.match(r"error: data\.sources: .* does not say which camera took an image[^\n]*without_cameras\.yaml", err)
    assert err.count("\n") == 1
    file = ["--config-file", "configs/own/without_cameras.yaml", "--root", str(root / "hall")]
    pairs = ["model.name", "osnet_x0_25", "model.pretrained", "False", "train.batch_size", "16", "train.max_epoch", "1"]
    code = main([*file, *SHORT, *pairs, "data.save_dir", str(tmp_path / "log")])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "train    |     8 |       32 |         1" in printed.out
    assert (tmp_path / "log" / "model").is_dir()


def test_held_out_people(command: Callable, root: Path) -> None:
    """Where ids hold across cameras, a share of the people is tested on."""
    code, out, err = command("ccafl.data.ids", "across_cameras", "ccafl.data.test_share", "0.25")
    assert code == 0, err
    assert "2 of 8 people are held out of training, as " in out
    assert "(48 images of 12 proxies" in out
    assert "mAP: " in out and "pair precision" in out
    assert (root / "ccafl-files" / "split-seed1-share0.25.csv").is_file()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["ccafl.data.ids", "per_cam"], r"ccafl\.data\.ids: 'per_cam' is not available\. Did you mean 'per_camera'"),
        (["ccafl.data.pattern", "{cam}/{id}/*"], r"ccafl\.data\.pattern: .*'cam' is not available"),
        (["ccafl.data.pattern", "{camera}-{id}.*"], r"ccafl\.data\.pattern: .* fits none of 64 images"),
        (["ccafl.data.table", "none.csv"], r"ccafl\.data\.table: there is no file 'none\.csv'"),
        (["ccafl.data.pairs", "none.csv"], r"ccafl\.data\.pairs: there is no file 'none\.csv'"),
        (["ccafl.data.test_share", "0.5"], r"ccafl\.data\.test_share: held-out people can be scored only"),
        (["ccafl.data.crops.overlap", "2.0"], r"ccafl\.data\.crops\.overlap: 2\.0 is out of range"),
        (["ccafl.supervision", "full"], r"ccafl\.supervision: full supervision needs ids that are valid across"),
        (["data.sources", "tracks"], r"data\.root: .* holds no tracks; per camera it needs"),
    ],
)
def test_mistakes_are_one_line(command: Callable, pairs: list[str], message: str) -> None:
    code, _, err = command(*pairs)
    assert code == 2
    assert re.match(rf"error: {message}", err), err
    assert err.count("\n") == 1


def test_one_camera(command: Callable, tmp_path: Path) -> None:
    code, _, err = command(folder=write(tmp_path / "one", *(name for name in NAMES if name.startswith("hall"))))
    assert code == 2
    assert re.match(r"error: data\.sources: all training images are of one camera[^\n]*\n$", err)


def test_results_are_numbers_that_json_knows(command: Callable, tmp_path: Path) -> None:
    assert command("train.max_epoch", "1")[0] == 0
    json.loads((tmp_path / "log" / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
