"""Tests by torchreid's engines with camera-wise normalisation and camera-aware re-ranking."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchreid
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ccafl_plugin import metrics as fast
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.extraction import training_features
from ccafl_plugin.integration import camera_evaluation
from ccafl_plugin.integration.torchreid_layout import torchreid_module
from ccafl_plugin.integration.torchreid_names import source_with_cameras_of
from ccafl_plugin.metrics import CameraNeighbours, CameraStatistics
from ccafl_plugin.metrics.camera_normalization import UnknownCameraWarning
from ccafl_plugin.metrics.watched_scores import watched_scores
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import CAMERAS, make_engine, make_manager, write_pictures
from tests.metrics.torchreid_stable import StableNumpy


class Colours(nn.Module):
    """Mean colours of an image's three thirds, through weights that differ from model to model."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 7, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(torch.cat([part.mean((2, 3)) for part in images.tensor_split(3, dim=2)], dim=1))


def make(root: Path, kind: str, **settings: Any) -> Any:
    if kind == "ccafl":
        return make_engine(root, make_manager(root, **settings))
    torch.manual_seed(0)
    manager = make_manager(root, train_sampler="RandomSampler", **settings)
    model = Colours()
    return torchreid.engine.ImageSoftmaxEngine(manager, model, torchreid.optim.build_optimizer(model), use_gpu=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("root"), identities=12)


@pytest.fixture(scope="module", params=["torchreid", "ccafl"])
def engine(request: pytest.FixtureRequest, root: Path) -> Any:
    return make(root, request.param)


def evaluate(engine: Any, **settings: Any) -> tuple[float, float]:
    loaders = engine.test_loader["market1501"]
    settings = {"dataset_name": "market1501", "ranks": [1], **settings}
    engine.set_model_mode("eval")
    return engine._evaluate(query_loader=loaders["query"], gallery_loader=loaders["gallery"], **settings)


@torch.no_grad()
def test_set(engine: Any) -> dict[str, Any]:
    """Features, persons and cameras of query and gallery, by the model itself."""
    found = {}
    engine.set_model_mode("eval")
    for part in ("query", "gallery"):
        batches = list(engine.test_loader["market1501"][part])
        found[part] = torch.cat([engine.model(batch["img"]) for batch in batches])
        found[f"{part}_pids"] = torch.cat([batch["pid"] for batch in batches])
        found[f"{part}_camids"] = torch.cat([batch["camid"] for batch in batches])
    return found


test_set.__test__ = False


def expected_scores(found: dict[str, Any], statistics: CameraStatistics | None, rerank: Any = None) -> Any:
    query, gallery = found["query"], found["gallery"]
    if statistics is not None:
        query, gallery = (statistics.apply(found[part], found[f"{part}_camids"]) for part in ("query", "gallery"))
    labels = [found[name] for name in ("query_pids", "gallery_pids", "query_camids", "gallery_camids")]
    if rerank is None:
        distances: Any = fast.FeatureDistances(query, gallery)
    else:
        distances = fast.rerank_features(query, gallery, neighbours=rerank)
    cmc, mean_average_precision = fast.evaluate_rank(distances, *labels)
    return float(cmc[0]), float(mean_average_precision)


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("mode", ["mean", "mean_std", "erase"])
def test_statistics_of_the_gallery(engine, mode, is_fast, capsys, monkeypatch):
    for module in ("metrics.rank", "utils.rerank"):
        monkeypatch.setattr(torchreid_module(module), "np", StableNumpy())
    found = test_set(engine)
    plain = evaluate(engine)
    statistics = CameraStatistics.of(found["gallery"], found["gallery_camids"], mode)
    with options.override(camera_normalization=mode, fast_evaluation=is_fast):
        scores = evaluate(engine)
    assert f"Normalizing features by camera ({mode}, statistics of the gallery images)" in capsys.readouterr().out
    assert scores == pytest.approx(expected_scores(found, statistics), abs=1e-6)
    assert scores[1] != pytest.approx(plain[1], abs=1e-4)
    assert "parse_data_for_eval" not in vars(engine)
    assert camera_evaluation.running() is None
    assert evaluate(engine) == plain


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("mode", ["none", "mean_std"])
def test_camera_aware_reranking(engine, mode, is_fast, monkeypatch):
    for module in ("metrics.rank", "utils.rerank"):
        monkeypatch.setattr(torchreid_module(module), "np", StableNumpy())
    found = test_set(engine)
    statistics = None if mode == "none" else CameraStatistics.of(found["gallery"], found["gallery_camids"], mode)
    neighbours = CameraNeighbours(torch.cat([found["query_camids"], found["gallery_camids"]]))
    with options.override(camera_normalization=mode, camera_rerank=True, fast_evaluation=is_fast):
        scores = evaluate(engine, rerank=True)
        without = evaluate(engine)
    assert scores == pytest.approx(expected_scores(found, statistics, neighbours), abs=1e-6)
    assert without == pytest.approx(expected_scores(found, statistics), abs=1e-6)


def test_statistics_of_the_training_images(engine):
    found, labels = test_set(engine), ProxyLabels.from_tuples(engine.train_loader.dataset.train)
    features, proxies = training_features(engine.datamanager, engine.model, labels)
    statistics = CameraStatistics.of(features, labels.camera_of_proxy[proxies], "mean_std")
    assert statistics.cameras == tuple(range(CAMERAS))
    with options.override(camera_normalization="mean_std", camera_statistics="training"):
        scores = evaluate(engine)
    assert scores == pytest.approx(expected_scores(found, statistics), abs=1e-6)
    assert not engine.model.training


def test_of_several_sources_the_targets_own_counts(root, monkeypatch):
    """torchreid counts the cameras of the second source on from those of the first."""
    engine = make(root, "torchreid")
    expected, cameras = camera_evaluation.training_set(engine, "market1501")
    dataset = engine.datamanager.train_loader.dataset
    first = [(path, 0, camera + 4, 0) for path, _, camera, _ in dataset.train if camera < 2]
    joined = torchreid.data.ImageDataset(first, first, first, transform=dataset.transform, mode="train", verbose=False)
    monkeypatch.setattr(engine.datamanager, "sources", ["grid", "market1501"])
    monkeypatch.setattr(engine.datamanager, "train_loader", DataLoader(joined + dataset))
    features, found = camera_evaluation.training_set(engine, "market1501")
    assert found.tolist() == cameras.tolist()
    torch.testing.assert_close(features, expected)
    with pytest.raises(CCAFLError, match="no source is of the cameras of viper; set it to gallery"):
        camera_evaluation.training_set(engine, "viper")


def test_sources_of_the_same_cameras():
    assert source_with_cameras_of("market1501", ["grid", "market1501"]) == 1
    assert source_with_cameras_of("msmt17", ["msmt17_trainval"]) == 0
    assert source_with_cameras_of("msmt17", ["msmt17_trainval", "msmt17"]) == 1
    assert source_with_cameras_of("grid", ["market1501"]) is None


def test_statistics_are_written_and_read_again(engine, root, tmp_path):
    with options.override(camera_normalization="mean_std"):
        expected = evaluate(engine, save_dir=str(tmp_path))
    (file,) = tmp_path.iterdir()
    assert file.name == "camera_statistics-market1501.safetensors"
    assert CameraStatistics.load(file).dataset == "market1501"
    with options.override(camera_normalization="mean_std", camera_statistics=str(file)):
        assert evaluate(engine, save_dir=str(tmp_path)) == expected
        with pytest.raises(CCAFLError, match=r"of the cameras of market1501, but the images are of grid"):
            evaluate(engine, dataset_name="grid")
        weight = next(engine.model.parameters())
        before = weight.data.clone()
        weight.data += 1
        with pytest.raises(CCAFLError, match=r"^test.camera_statistics: '.*': made with other weights") as caught:
            evaluate(engine)
        weight.data = before
    assert "\n" not in str(caught.value)
    with options.override(camera_normalization="mean", camera_statistics=str(file)):  # the file has both
        found = test_set(engine)
        statistics = CameraStatistics.of(found["gallery"], found["gallery_camids"], "mean")
        assert evaluate(engine) == pytest.approx(expected_scores(found, statistics), abs=1e-6)
    assert len(list(tmp_path.iterdir())) == 1


def test_statistics_of_other_cameras(engine, tmp_path):
    found = test_set(engine)
    file = tmp_path / "other.safetensors"
    CameraStatistics.of(found["gallery"], found["gallery_camids"] + 10).save(file)
    with (
        options.override(camera_normalization="mean", camera_statistics=str(file)),
        pytest.raises(CCAFLError, match=r"of cameras 10, 11, 12, but the images are of cameras 0, 1, 2\.$"),
    ):
        evaluate(engine)
    CameraStatistics.of(found["gallery"][:, :-1], found["gallery_camids"]).save(file)
    with (
        options.override(camera_normalization="mean", camera_statistics=str(file)),
        pytest.raises(CCAFLError, match="make them anew"),
    ):
        evaluate(engine)
    assert camera_evaluation.running() is None


def test_statistics_name_the_cameras_of_data_of_ones_own(engine, monkeypatch, tmp_path):
    """A camera that is added later sorts before the others and changes their numbers, not whose statistics they get."""
    loaders = engine.datamanager.test_loader["market1501"]
    gallery = loaders["gallery"].dataset

    def name(*names: str) -> None:
        own = SimpleNamespace(images=SimpleNamespace(cameras=names))
        monkeypatch.setattr(gallery, "own_images", own, raising=False)

    name("gate", "hall", "yard")
    with options.override(camera_normalization="mean_std"):
        expected = evaluate(engine, save_dir=str(tmp_path))
    (file,) = tmp_path.iterdir()
    assert CameraStatistics.load(file).cameras == ("gate", "hall", "yard")
    with options.override(camera_normalization="mean_std", camera_statistics="training"):
        assert evaluate(engine, save_dir=str(tmp_path))[1] > 0
    assert CameraStatistics.load(file).cameras == ("gate", "hall", "yard")
    with options.override(camera_normalization="mean_std"):
        evaluate(engine, save_dir=str(tmp_path))
    name("attic", "gate", "hall", "yard")
    for dataset in (gallery, loaders["query"].dataset):
        monkeypatch.setattr(dataset, "data", [(path, pid, camid + 1, 0) for path, pid, camid, _ in dataset.data])
    with options.override(camera_normalization="mean_std", camera_statistics=str(file)), warnings.catch_warnings():
        warnings.simplefilter("error", UnknownCameraWarning)
        assert evaluate(engine) == expected


def test_a_camera_of_the_queries_that_the_gallery_has_not(engine, monkeypatch):
    loaders = engine.test_loader["market1501"]
    queries = loaders["query"].dataset
    monkeypatch.setattr(
        queries, "data", [(path, pid, camid + 7 * (camid == 1), 0) for path, pid, camid, _ in queries.data]
    )
    with (
        options.override(camera_normalization="mean_std"),
        pytest.warns(UnknownCameraWarning, match="no statistics of camera 8, only of cameras 0, 1, 2") as caught,
    ):
        scores = evaluate(engine)
    assert len([each for each in caught if each.category is UnknownCameraWarning]) == 1
    assert scores[1] > 0


def test_an_engine_that_hands_on_no_cameras(engine, monkeypatch):
    parse = type(engine).parse_data_for_eval

    def parse_data_for_eval(data: Any) -> Any:
        images, pids, camids = parse(engine, data)
        return images, pids, camids[:-1]

    monkeypatch.setattr(engine, "parse_data_for_eval", parse_data_for_eval, raising=False)
    with (
        options.override(camera_normalization="mean"),
        pytest.raises(CCAFLError, match=r"cameras of \d+ images but features of 36 queries and 72 gallery images"),
    ):
        evaluate(engine)
    assert engine.parse_data_for_eval is parse_data_for_eval
    monkeypatch.setattr(engine, "parse_data_for_eval", lambda data: (*parse(engine, data)[:2], None))
    with (
        options.override(camera_rerank=True),
        pytest.raises(CCAFLError, match="need the camera of each image, and the engine's parse_data_for_eval gives"),
    ):
        evaluate(engine, rerank=True)


def test_pictures_of_rankings_show_what_was_scored(engine, tmp_path):
    with options.override(camera_normalization="mean_std", camera_rerank=True), warnings.catch_warnings():
        warnings.simplefilter("error", UnknownCameraWarning)
        evaluate(engine, rerank=True, visrank=True, visrank_topk=1, save_dir=str(tmp_path))
    assert len(list(tmp_path.rglob("*.jpg"))) == 36


def test_what_torchreids_evaluate_does_not_return(engine):
    found = test_set(engine)
    labels = [found[name] for name in ("query_pids", "gallery_pids", "query_camids", "gallery_camids")]
    expected = fast.rank_scores(fast.FeatureDistances(found["query"], found["gallery"]), *labels, camera_pairs=True)
    with watched_scores() as seen:
        evaluate(engine)
    assert seen[0].mean_inverse_negative_penalty == pytest.approx(expected.mean_inverse_negative_penalty, abs=1e-6)
    pairs = seen[0].camera_pairs.mean_average_precision
    np.testing.assert_allclose(pairs, expected.camera_pairs.mean_average_precision, atol=1e-6)
    with options.override(fast_evaluation=False), watched_scores() as seen:
        evaluate(engine)
    assert (seen[0].mean_inverse_negative_penalty, seen[0].camera_pairs) == (None, None)
