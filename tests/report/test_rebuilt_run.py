"""A run that is built again is the run: its first weights, its trained ones, its features and its scores."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from ccafl_plugin.models.weights_description import read
from ccafl_plugin.options import options
from ccafl_plugin.report.ranked_queries import RankedQueries, distances_of_test
from ccafl_plugin.report.rebuilt_run import rebuilt
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.scores import scores_of
from ccafl_plugin.runs.train_command import main as train
from ccafl_plugin.utils.errors import CCAFLError
from tests.runs.test_train_command import SMALL


def test_the_weights_before_training_are_those_of_the_run(pictures: Path, tmp_path: Path) -> None:
    """Random ones here; a run without an epoch writes those with which it began."""
    folder = tmp_path / "log"
    assert train(["--root", str(pictures), *SMALL, "train.max_epoch", "0", "data.save_dir", str(folder)]) == 0
    state = read(folder / "weights.safetensors").state
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    before = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    options.reset()
    with rebuilt(RecordedRun.read(folder)) as again:
        assert options.input_size == (64, 32)
        own = again.model.state_dict()
        assert own.keys() == state.keys()
        assert all(torch.equal(own[name], tensor) for name, tensor in state.items())
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == before
    assert options.input_size == (256, 128)


def test_scores_that_are_computed_again_are_those_of_the_test(finished: Path) -> None:
    run = RecordedRun.read(finished)
    with rebuilt(run) as again:
        again.load_trained()
        images = again.test_images()
        assert images is not None and images.queries == 18 and len(images.paths) == 54
        ranked = RankedQueries(distances_of_test(again, images, again.features(images.paths, unit=False)), images)
    scores = scores_of(run)["market1501"]
    for rank in (1, 5, 10, 20):
        assert ranked.curve()[rank - 1] == pytest.approx(scores[f"rank{rank}"], abs=1e-6)


@pytest.mark.parametrize(
    "setting", ["test.normalize_feature", "test.rerank", "test.camera_rerank", "test.camera_normalization"]
)
def test_distances_are_those_of_the_settings_of_the_test(finished: Path, setting: str, capsys) -> None:
    """Scores of the command with the setting, on the same weights, are the reference."""
    pairs = [setting, "mean" if setting.endswith("normalization") else "True", "test.dist_metric", "euclidean"]
    pairs += ["test.rerank", "True"] if setting == "test.camera_rerank" else []
    run = RecordedRun.read(finished)
    assert run.config is not None
    weights = ["model.load_weights", str(finished / "weights.safetensors"), "test.evaluate", "True"]
    capsys.readouterr()
    elsewhere = str(finished.parent / f"tested-{setting}")
    assert train(["--root", run.config.data.root, *SMALL, *pairs, *weights, "data.save_dir", elsewhere]) == 0
    printed = capsys.readouterr().out
    run.config.defrost()
    run.config.merge_from_list(pairs)
    with rebuilt(run) as again:
        again.load_trained()
        images = again.test_images()
        assert images is not None
        ranked = RankedQueries(distances_of_test(again, images, again.features(images.paths, unit=False)), images)
    for rank in (1, 5, 10):
        assert f"Rank-{rank:<3}: {ranked.curve()[rank - 1]:.1%}" in printed


def test_weights_of_another_model_are_one_line(finished: Path, tmp_path: Path) -> None:
    run = RecordedRun.read(finished)
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "other.pt")
    with rebuilt(run) as again, pytest.raises(CCAFLError, match="another model"):
        again.load_trained(tmp_path / "other.pt")
