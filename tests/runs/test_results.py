"""``results.json``: what a run leaves behind for tables."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torchreid

from ccafl_plugin.config import load_config
from ccafl_plugin.runs import results, train_command
from ccafl_plugin.runs.torchreid_engines import SoftmaxEngine
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.provenance import code_digest, digest_of
from tests.engine.small_runs import CAMERAS, IDENTITIES, IMAGES, make_manager, write_pictures

SMALL = [
    *["model.name", "clip_tiny", "model.pretrained", "False", "use_gpu", "False", "train.max_epoch", "2"],
    *["data.height", "64", "data.width", "32", "data.workers", "0", "train.batch_size", "8"],
    *["sampler.train_sampler", "ProxySampler", "sampler.num_instances", "2", "ccafl.iters_per_epoch", "2"],
    *["ccafl.stage1.epochs", "1", "ccafl.terms.inter.first_epoch", "1", "test.ranks", "[1, 5, 10]"],
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("root"))


def run(root: Path, folder: Path, *pairs: str) -> dict:
    assert main(["--root", str(root), *SMALL, "data.save_dir", str(folder), *pairs]) == 0
    return results.read(folder)


def test_a_run_of_ccafl(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = run(root, tmp_path, "loss.name", "ccafl")
    printed = results.parse_scores(capsys.readouterr().out)
    scores = written["scores"]["market1501"]
    assert {name: scores[name] for name in ("mAP", "rank1")} == pytest.approx(
        {name: printed[name] for name in ("mAP", "rank1")}, abs=5.1e-4
    )
    assert scores["mINP"] == pytest.approx(printed["mINP"], abs=5.1e-4)
    assert_camera_pairs(written)
    (step,) = written["association"]
    assert step["epoch"] == 1
    known = {"groups", "sizes", "grouped", "mean_margin", "camera_accuracy", "camera_chance"}
    assert set(step) - known == {"epoch", "pseudo_identities", "proxies", "precision", "recall"}
    assert known - {"mean_margin"} <= set(step)
    assert 0 < written["training_seconds"] < written["process_seconds"]
    assert 2**27 < written["peak_memory"] < 2**36  # bytes
    assert written["training_set"] == {
        "images": IDENTITIES * CAMERAS * IMAGES,
        "people": IDENTITIES,
        "cameras": CAMERAS,
        "proxies": IDENTITIES * CAMERAS,
    }
    assert written["test_sets"] == {
        "market1501": {"folder": "market1501/Market-1501-v15.09.15", "queries": 18, "gallery": 36}
    }
    assert written["model"]["name"] == "clip_tiny"
    assert 0 < written["model"]["parameters"] < 1e6
    assert written["model"]["loss"] == "alignment + proxy_classifier + ical + icdl + inter"
    assert (written["model"]["input"], written["model"]["distance"]) == ([64, 32], "euclidean")
    assert (written["seed"], written["epochs"], written["targets"]) == (1, 2, ["market1501"])
    assert written["versions"]["torch"] == torch.__version__
    assert written["machine"]["threads"] == torch.get_num_threads()
    assert written["camera_probe"] == {}
    config = load_config(None, [*SMALL, "loss.name", "ccafl"])
    assert written["config_digest"] == digest_of(results.settings_of(config))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_runs_of_torchreids_own_engines(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], loss: str
) -> None:
    more = ["sampler.train_sampler", "RandomIdentitySampler", "ccafl.camera_probe", "True"]
    written = run(root, tmp_path, "loss.name", loss, *more)
    assert written["model"]["loss"] == loss
    probe = written["camera_probe"]["market1501"]
    assert probe["chance"] == pytest.approx(1 / CAMERAS)
    assert 0 <= probe["accuracy"] <= 1
    printed = results.parse_scores(capsys.readouterr().out)
    assert set(printed) == {"mAP", "mINP", "rank1", "rank5", "rank10"}
    assert written["scores"]["market1501"] == pytest.approx(printed, abs=5.1e-4)
    assert_camera_pairs(written)
    assert written["association"] == []
    assert written["training_seconds"] > 0


def test_the_probe_behind_what_the_test_takes_out(root: Path, tmp_path: Path) -> None:
    given = ("loss.name", "softmax", "ccafl.camera_probe", "True")
    plain = run(root, tmp_path / "plain", *given)["camera_probe"]["market1501"]
    tested = run(root, tmp_path / "erased", *given, "test.camera_normalization", "erase")["camera_probe"]["market1501"]
    assert set(plain) == {"accuracy", "chance"}
    assert {name: tested[name] for name in plain} == plain
    assert 0 <= tested["as_tested"] < plain["accuracy"]


@pytest.mark.parametrize("of", ["results", "pairs"])
def test_weights_are_written_before_anything_is_measured(
    of: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> dict:
        raise CCAFLError("no measurement")

    if of == "results":
        monkeypatch.setattr(results, "summary", fails)
    else:
        monkeypatch.setattr(train_command, "pairs_of", lambda _: SimpleNamespace(file="pairs.csv"))
        monkeypatch.setattr(train_command, "evaluate_pairs", fails)
    more = ["loss.name", "softmax", "train.max_epoch", "0"]
    assert main(["--root", str(root), *SMALL, "data.save_dir", str(tmp_path), *more]) == 1
    assert (tmp_path / "weights.safetensors").is_file()
    assert results.read(tmp_path) is None


def assert_camera_pairs(written: dict) -> None:
    """Each query is one of its camera's and counts before every other camera."""
    pairs, scores = written["camera_pairs"]["market1501"], written["scores"]["market1501"]
    assert pairs["query_cameras"] == pairs["gallery_cameras"] == list(range(CAMERAS))
    other = [[a != b for b in range(CAMERAS)] for a in range(CAMERAS)]
    assert pairs["queries"] == [[IDENTITIES * cell for cell in row] for row in other]
    assert [[share is not None for share in row] for row in pairs["mAP"]] == other
    shares = [share for row in pairs["mAP"] for share in row if share is not None]
    assert all(0 < share <= 1 for share in shares)
    assert max(shares) >= scores["mAP"] - 0.05


def test_a_test_alone_writes_nothing(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path, "loss.name", "softmax", "test.evaluate", "True") is None


def test_settings_without_effect_and_new_defaults_do_not_count() -> None:
    base = results.settings_of(load_config(None, SMALL))
    for pair in (
        ["data.save_dir", "x"],
        ["train.print_freq", "7"],
        ["ccafl.keep_epochs", "[1]"],
        ["train.lr", "3e-4"],
    ):
        assert results.settings_of(load_config(None, [*SMALL, *pair])) == base
    other = results.settings_of(load_config(None, [*SMALL, "train.lr", "0.1"]))
    assert {key for key in other if other[key] != base.get(key)} == {"train.lr"}
    assert digest_of(other) != digest_of(base)
    assert "ccafl.amp" not in base


def test_digest_does_not_depend_on_order() -> None:
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert len(code_digest()) == 16


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.write(tmp_path, {"a": math.nan, "b": [1.5, math.inf], "c": {"d": (1, 2)}})
    content = (tmp_path / results.FILE).read_text()
    assert json.loads(content) == {"a": None, "b": [1.5, None], "c": {"d": [1, 2]}}

    def dies(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results.os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        results.write(tmp_path, {"a": 1})
    assert (tmp_path / results.FILE).read_text() == content


def test_reading_what_is_no_result(tmp_path: Path) -> None:
    assert results.read(tmp_path) is None
    for content in ("{", "[1]"):
        (tmp_path / results.FILE).write_text(content)
        assert results.read(tmp_path) is None


def test_printed_scores() -> None:
    text = "** Results **\nmAP: 84.2%\nCMC curve\nRank-1  : 94.1%\nRank-5  : 98.0%\nRank-10 : 98.7%\n"
    assert results.parse_scores("** Results **\nmAP: 1.0%\nRank-1  : 2.0%\n" + text) == pytest.approx(
        {"mAP": 0.842, "rank1": 0.941, "rank5": 0.98, "rank10": 0.987}
    )
    assert results.parse_scores("nothing") == {}


def test_the_probe_sees_every_test_image_and_its_camera(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With features that name the camera the probe is always right."""
    model = torchreid.models.build_model("clip_tiny", num_classes=IDENTITIES, loss="softmax", pretrained=False)
    engine = torchreid.engine.ImageSoftmaxEngine(make_manager(root), model, torch.optim.SGD(model.parameters(), lr=1))
    paths = [path for part in ("query", "gallery") for path, *_ in engine.datamanager.test_dataset["market1501"][part]]
    cameras = iter([int(Path(path).name.partition("_c")[2][0]) for path in paths])

    def extract_features(images: torch.Tensor) -> torch.Tensor:
        return torch.eye(CAMERAS + 1)[[next(cameras) for _ in images]]

    monkeypatch.setattr(engine, "extract_features", extract_features)
    found = results.probe_cameras(engine, seed=1)
    assert found == {"market1501": pytest.approx({"accuracy": 1.0, "chance": 1 / CAMERAS})}
    assert next(cameras, None) is None


def test_watching_changes_no_number(root: Path, tmp_path: Path) -> None:
    outcomes = []
    for watched in (False, True):
        torch.manual_seed(0)
        manager = make_manager(root, train_sampler="RandomSampler")
        model = torchreid.models.build_model("clip_tiny", num_classes=IDENTITIES, loss="softmax", pretrained=False)
        make = SoftmaxEngine if watched else torchreid.engine.ImageSoftmaxEngine
        engine = make(manager, model, torch.optim.SGD(model.parameters(), lr=0.1))
        engine.run(save_dir=str(tmp_path / str(watched)), max_epoch=0, dist_metric="cosine")
        if watched:  # a run of no epoch ends with a test as any other; torchreid's own does not
            assert engine.results["market1501"]
        outcomes.append(engine.test(dist_metric="cosine"))
    assert outcomes[0] == outcomes[1] == engine.results["market1501"]["rank1"]
