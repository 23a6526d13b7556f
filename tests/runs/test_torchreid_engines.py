"""torchreid's own engines behind the command: checked data, a checkpoint before the final test, ranks that exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchreid

from ccafl_plugin.metrics.single_shot import reachable_ranks
from ccafl_plugin.runs import results
from ccafl_plugin.runs.train_command import main
from tests.layouts import write_market1501

OWN = [
    *["model.name", "clip_tiny", "model.pretrained", "False", "use_gpu", "False", "data.workers", "0"],
    *["data.height", "32", "data.width", "16", "train.max_epoch", "1", "train.batch_size", "8"],
    *["sampler.num_instances", "2", "test.dist_metric", "cosine"],
]
SOFTMAX = ["loss.name", "softmax"]
TRIPLET = ["loss.name", "triplet", "sampler.train_sampler", "RandomIdentitySampler"]
CCAFL = [
    *["loss.name", "ccafl", "sampler.train_sampler", "ProxySampler", "ccafl.iters_per_epoch", "1"],
    *["ccafl.stage1.epochs", "0", "ccafl.terms.alignment.enabled", "False", "ccafl.terms.icdl.weight_alignment", "0"],
    *["ccafl.terms.inter.enabled", "False", "ccafl.terms.ical.enabled", "False"],
]
ENGINES = {"softmax": SOFTMAX, "triplet": TRIPLET, "ccafl": CCAFL}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 gallery images of four people, one of them a distractor; one query camera."""
    root = tmp_path_factory.mktemp("root")
    write_market1501(root, identities=4, cameras=2, images=3, test_identities=3)
    return root


@pytest.fixture
def command(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(torchreid.utils, "collect_env_info", lambda: "")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--root", str(root), *OWN, "data.save_dir", str(tmp_path / "log"), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("single_shot", [False, True])
def test_ranks_are_cut_to_the_gallery(command: Callable, tmp_path: Path, name: str, single_shot: bool) -> None:
    """14 images, of which CUHK03's metric draws one of each of four people."""
    cuhk03 = ["cuhk03.use_metric_cuhk03", str(single_shot)]
    code, out, err = command(*ENGINES[name], *cuhk03, "test.ranks", "[1, 4, 5, 14, 20]")
    assert code == 0, err
    shown = [int(rank) for rank in re.findall(r"^Rank-(\d+)", out, re.MULTILINE)]
    assert shown == ([1, 4] if single_shot else [1, 4, 5, 14])
    scores = results.read(tmp_path / "log")["scores"]["market1501"]
    assert {key for key in scores if key.startswith("rank")} == {f"rank{rank}" for rank in shown}


def test_reachable_ranks() -> None:
    gallery = [("a", 1), ("b", 1), ("c", 7)]
    assert reachable_ranks([1, 2, 3, 4], gallery, False) == [1, 2, 3]
    assert reachable_ranks([1, 2, 3, 4], gallery, True) == [1, 2]


def test_torchreids_engine_in_a_program(root: Path) -> None:
    """Its own default ranks go to 20."""
    manager = torchreid.data.ImageDataManager(
        root=str(root), sources="market1501", height=32, width=16, batch_size_train=8, workers=0
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 16, 4))
    engine = torchreid.engine.ImageSoftmaxEngine(manager, model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert 0 <= engine.test() <= 1


@pytest.mark.parametrize("name", ENGINES)
def test_a_test_that_fails_leaves_the_training(
    command: Callable, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **settings: object) -> None:
        raise ValueError("no distances today")

    monkeypatch.setattr(torchreid.metrics, "evaluate_rank", broken)
    code, out, err = command(*ENGINES[name])
    assert code == 1
    assert re.fullmatch(
        r"error: no distances today \(ValueError\) in [\w.]+, line \d+\. Nobody [^\n]*error\.txt[^\n]*\n",
        err,
    )
    assert "=> Final test" in out
    saved = torchreid.utils.load_checkpoint(str(tmp_path / "log" / "model" / "model.pth.tar-1"))
    assert saved["epoch"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in saved["state_dict"].values() if tensor.is_floating_point())


def test_the_traceback_with_debug(
    command: Callable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    def broken(*arguments: object, **settings: object) -> None:
        raise ValueError("no transforms today")

    monkeypatch.setattr("ccafl_plugin.runs.building.torchreid.data.ImageDataManager", broken)
    code, _, err = command(*SOFTMAX)
    assert (code, err.count("\n")) == (1, 1)
    code = main(["--root", str(root), "--debug", *OWN, *SOFTMAX, "data.save_dir", str(tmp_path / "log")])
    err = capsys.readouterr().err
    assert code == 1
    assert "Traceback (most recent call last)" in err and "in broken" in err
    assert err.splitlines()[-1].startswith("error: data.sources: the data can't be prepared: no transforms today")


@pytest.mark.parametrize("name", ENGINES)
def test_reranking_holds_for_the_test_of_a_training_run(command: Callable, tmp_path: Path, name: str) -> None:
    """The same scores as of a test of the same weights."""
    code, trained, err = command(*ENGINES[name], "test.rerank", "True")
    assert code == 0, err
    assert trained.count("Applying person re-ranking ...") == 1
    weights = ["model.load_weights", str(tmp_path / "log" / "model" / "model.pth.tar-1"), "test.evaluate", "True"]
    code, tested, err = command(*ENGINES[name], *weights, "test.rerank", "True")
    assert code == 0, err
    scores = r"^(?:mAP: .*|Rank-\d+ *: .*|mINP: .*)$"
    assert re.findall(scores, trained, re.MULTILINE) == re.findall(scores, tested, re.MULTILINE) != []


def test_a_checkpoint_before_a_test_changes_no_number(command: Callable, tmp_path: Path) -> None:
    """torchreid's own file, with the score of the test, takes its place."""
    code, out, err = command(*SOFTMAX, "train.max_epoch", "2", "test.eval_freq", "1")
    assert code == 0, err
    assert out.count("Checkpoint saved to") == 4
    first, last = (
        torchreid.utils.load_checkpoint(str(tmp_path / "log" / "model" / f"model.pth.tar-{epoch}")) for epoch in (1, 2)
    )
    ranks = [float(rank) for rank in re.findall(r"^Rank-1 *: ([\d.]+)%", out, re.MULTILINE)]
    assert np.allclose([first["rank1"], last["rank1"]], np.array(ranks) / 100, atol=5e-4)


def test_one_camera_names_all_terms_to_switch_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And switching them off is enough."""
    write_market1501(tmp_path / "data", identities=5, cameras=1, test_identities=4)
    folder = tmp_path / "data" / "market1501" / "Market-1501-v15.09.15"
    for picture in sorted((folder / "query").iterdir()):  # the test set has two cameras
        picture.rename(picture.with_name(picture.name.replace("_c1", "_c2")))
    every = [
        *["loss.name", "ccafl", "sampler.train_sampler", "ProxySampler", "ccafl.iters_per_epoch", "1"],
        *["ccafl.stage1.epochs", "1", "ccafl.terms.icdl.last_epoch", "-1"],
    ]
    start = ["--root", str(tmp_path / "data"), *OWN, *every, "data.save_dir", str(tmp_path / "log")]
    zero = [
        w for n in ("inter", "alignment", "ical", "proxy_classifier") for w in (f"ccafl.terms.{n}.first_epoch", "0")
    ]
    assert main([*start, *zero]) == 1
    line = capsys.readouterr().err
    found = re.search(r"Set ((?:ccafl\.terms\.\w+\.enabled False ?)+), or add a source", line)
    assert found is not None, line
    assert found[1].count("enabled") == 3
    assert main([*start, *zero, *found[1].split()]) == 0, capsys.readouterr().err
