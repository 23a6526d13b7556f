"""torchreid's engines evaluate the same with and without the plugin's metrics."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin import metrics as fast
from ccafl_plugin.integration import evaluation
from ccafl_plugin.integration.evaluation import evaluation_changes
from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, torchreid_module, uses
from ccafl_plugin.metrics.watched_scores import watched_scores
from ccafl_plugin.options import options
from tests.children import forget, in_child
from tests.engine.small_runs import make_manager, write_pictures
from tests.metrics import problems
from tests.metrics.torchreid_stable import StableNumpy, slow_evaluate_rank, slow_re_ranking


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One of torchreid's; its features are mean colours, so that no model has to run."""
    manager = make_manager(write_pictures(tmp_path_factory.mktemp("root")), train_sampler="RandomSampler")
    model = nn.Linear(1, 1)
    engine = torchreid.engine.ImageSoftmaxEngine(manager, model, torchreid.optim.build_optimizer(model), use_gpu=False)
    engine.extract_features = lambda images: images.mean((2, 3))
    return engine


@pytest.fixture(autouse=True)
def stable(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("metrics.rank", "utils.rerank", "utils.reidtools"):
        monkeypatch.setattr(torchreid_module(module), "np", StableNumpy())


def test_where_the_functions_stand():
    for module in ("metrics", "metrics.rank"):
        assert torchreid_module(module).evaluate_rank is torchreid.metrics.evaluate_rank
    for module in ("utils", "utils.rerank", "engine.engine"):
        assert torchreid_module(module).re_ranking is torchreid.utils.re_ranking
    for function in (torchreid.metrics.evaluate_rank, torchreid.utils.re_ranking):
        assert list(uses(function.__wrapped__)) == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rerank": True},
        {"dist_metric": "cosine", "normalize_feature": True},
        {"use_metric_cuhk03": True, "ranks": [1, 2]},
        {"rerank": True, "visrank": True, "visrank_topk": 2},
    ],
    ids=str,
)
def test_an_engine_gives_the_same_numbers_and_lines(engine, settings, tmp_path, capsys, monkeypatch):
    asked_for = counted(monkeypatch, fast.FeatureDistances, "__init__")
    made_whole = counted(monkeypatch, fast.Distances, "__array__")
    expected = evaluate(engine, tmp_path / "own", capsys, fast_evaluation=False, **settings)
    assert (len(asked_for), len(made_whole)) == (0, 0)  # the switch keeps torchreid's own matrices
    scores, printed, pictures = evaluate(engine, tmp_path / "fast", capsys, fast_evaluation=True, **settings)
    assert len(asked_for) >= 1
    assert len(made_whole) == (1 if settings.get("visrank") else 0)
    assert scores == pytest.approx(expected[0], abs=1e-6)
    assert 0 < scores[1] < 1
    assert "** Results **\nmAP: " in printed
    assert (printed, pictures) == expected[1:]
    assert len(pictures) == (18 if settings.get("visrank") else 0)


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[str]:
    """A list that gets an entry at every call."""
    original, calls = getattr(owner, name), []

    def counting(*arguments: Any, **keywords: Any) -> Any:
        calls.append(name)
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, name, counting)
    return calls


def evaluate(engine: Any, folder: Path, capsys: Any, fast_evaluation: bool, **settings: Any) -> tuple:
    """(scores, what was printed but for time and folder, names of the pictures of rankings)."""
    settings = {"ranks": [1, 5, 10, 20], "save_dir": str(folder), **settings}
    loaders = engine.test_loader["market1501"]
    np.random.seed(3)
    capsys.readouterr()
    with options.override(fast_evaluation=fast_evaluation):
        scores = engine._evaluate("market1501", loaders["query"], loaders["gallery"], **settings)
    printed = re.sub(rf"Speed: .*|{re.escape(str(folder))}", "", capsys.readouterr().out)
    return scores, printed, {str(file.relative_to(folder)) for file in folder.rglob("*.jpg")}


def test_functions_by_themselves():
    rng = np.random.default_rng(0)
    arguments = (problems.distances(rng, 9, 60, coarse=True), *problems.labels(rng, 9, 60, 4, 3))
    expected_cmc, expected_map = slow_evaluate_rank(*arguments)
    for is_fast in (True, False):
        with options.override(fast_evaluation=is_fast):
            cmc, mean_average_precision = torchreid.metrics.evaluate_rank(*arguments, use_cython=False)
        np.testing.assert_array_equal(cmc, expected_cmc)
        assert mean_average_precision == expected_map
    points = rng.random((30, 3), dtype=np.float32)
    everything = ((points[:, None] - points[None]) ** 2).sum(2)
    matrices = everything[:8, 8:], everything[:8, :8], everything[8:, 8:]
    for is_fast in (True, False):
        with options.override(fast_evaluation=is_fast):
            result = torchreid.utils.re_ranking(*matrices, k1=5)
        np.testing.assert_array_equal(result, slow_re_ranking(*matrices, k1=5))


@pytest.mark.parametrize("place", ["compute_distance_matrix", "evaluate_rank", "re_ranking"])
def test_a_programs_own_function_is_handed_matrices(engine, place, monkeypatch):
    owner = torchreid_module("engine.engine" if place == "re_ranking" else "metrics")
    original = getattr(owner, place)
    handed = []

    def own(*arguments: Any, **keywords: Any) -> Any:
        handed.extend(type(argument) for argument in arguments[: 1 if place == "evaluate_rank" else 2])
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, place, own)
    loaders = engine.test_loader["market1501"]
    engine._evaluate("market1501", loaders["query"], loaders["gallery"], rerank=place == "re_ranking")
    assert handed
    assert set(handed) <= {np.ndarray, torch.Tensor}


def test_everything_else_of_the_engines_metrics_is_torchreids(monkeypatch):
    seen_by_engine = torchreid_module("engine.engine").metrics
    assert isinstance(seen_by_engine, evaluation.EngineMetrics)
    assert seen_by_engine.accuracy is torchreid.metrics.accuracy
    assert seen_by_engine.evaluate_rank is torchreid.metrics.evaluate_rank
    monkeypatch.setattr(torchreid.metrics, "accuracy", None)
    assert seen_by_engine.accuracy is None


def test_watched_scores():
    arguments = (np.array([[0.1, 0.2]]), [1], [2, 1], [0], [1, 1])
    with watched_scores() as outer:
        torchreid.metrics.evaluate_rank(*arguments)
        with pytest.raises(AssertionError), watched_scores() as inner:
            torchreid.metrics.evaluate_rank(*arguments)
            torchreid.metrics.evaluate_rank(np.zeros((1, 1)), [1], [2], [0], [0])
    torchreid.metrics.evaluate_rank(*arguments)
    assert (len(outer), len(inner)) == (2, 1)
    assert outer[0].cmc.tolist() == [0, 1]
    assert outer[0].mean_average_precision == 0.5


def test_an_engine_without_metrics_is_incompatible(monkeypatch):
    monkeypatch.setattr(torchreid_module("engine.engine"), "metrics", Path)
    with pytest.raises(IncompatibleTorchreid, match="metrics"):
        evaluation_changes()


def test_no_warning_about_torchreids_compiled_evaluator():
    def messages(*packages: str) -> list[str]:
        forget("torchreid", "ccafl_plugin")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for package in packages:
                importlib.import_module(package)
        return [str(warning.message) for warning in caught if "Cython evaluation" in str(warning.message)]

    def imports() -> None:
        assert messages("ccafl_plugin", "torchreid") == []
        assert len(messages("torchreid", "ccafl_plugin")) == 1

    in_child(imports)
