"""Long work counts itself: which parts of the package show their progress, and that they count to the end."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ccafl_plugin.association import approximate_matches, associate
from ccafl_plugin.data.picture_facts import picture_facts
from ccafl_plugin.metrics.rank import evaluate_features
from ccafl_plugin.metrics.rerank import rerank_features
from ccafl_plugin.synthetic.renderer.picture_plan import Size
from ccafl_plugin.utils import progress, terminal_bar
from ccafl_plugin.utils.progress import Progress
from tests.runs.small_commands import SMALL
from tests.terminals import on_pseudo_terminal


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests show no progress, see ``tests/conftest.py``."""
    monkeypatch.delenv("TQDM_DISABLE")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Work -> how many there were; at the end each has counted to its total."""
    found: dict[str, int] = {}
    leave = Progress.__exit__

    def watched_exit(self: Progress, *error: Any) -> None:
        assert error[0] is not None or self.done == self.total or self.what == "possible merges"
        found[self.work] = self.total
        leave(self, *error)

    monkeypatch.setattr(Progress, "__exit__", watched_exit)
    yield found


def people(count: int, cameras: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(count, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.nn.functional.normalize(features, dim=1), torch.arange(count) % cameras


@pytest.mark.parametrize("name", ["nearest_pairs", "margin"])
def test_associations(name: str, counted: dict[str, int]) -> None:
    associate(*people(30), name=name)
    assert counted.pop("Association") == 30 * 20  # one block: all rows, and the columns behind the first camera
    assert counted == ({"Grouping": 30 - 10} if name == "margin" else {})


def test_the_approximate_association(counted: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate_matches, "EXHAUSTIVE", 0)
    associate(*people(100), name="approximate_margin", probes=4)
    assert counted == {"Association": 2 * 20, "Grouping": 100 - 34}  # sqrt(4 * 100) cells, visited twice


def test_evaluation_and_reranking(counted: dict[str, int]) -> None:
    features, cameras = people(30)
    ids = np.arange(30) // 3
    evaluate_features(features[:6], features[6:], ids[:6] % 2 + 2, ids[6:], cameras[:6], cameras[6:])
    assert counted == {"Evaluation": 6}
    rerank_features(features[:6], features[6:])
    assert counted == {"Evaluation": 6, "Re-ranking": 30}


@pytest.mark.parametrize("workers", [1, 2])
def test_rendering(workers: int, counted: dict[str, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rendering = importlib.import_module("ccafl_plugin.synthetic.renderer.generate")
    monkeypatch.setattr(rendering, "FEW", 0)
    monkeypatch.setattr(rendering, "render", lambda frame: np.zeros((4, 2, 3), dtype=np.uint8))
    folder = rendering.generate(tmp_path / "x", Size(2, 2, 0), workers=workers)
    assert counted == {"Rendering": len(list(folder.rglob("*.jpg")))}


def test_images_that_are_checked(counted: dict[str, int], pictures: Path) -> None:
    files = [str(file) for file in (pictures / "market1501").rglob("query/*.jpg")]
    assert len(picture_facts(files)) == len(files) == 18
    assert counted == {"Checking": 18}


OF_A_TRAINING = {
    "Checking": 54,  # for training, and as many for the test
    "Training features": 54,
    "Stage 1": 54,
    "Association": 18 * 12,
    "Features of the query": 18,
    "Features of the gallery": 36,
    "Re-ranking": 18 + 36,
    "Evaluation": 18,
}


def test_a_training_on_a_pseudo_terminal(pictures: Path, tmp_path: Path) -> None:
    """Everything has its bar; the lines stand there as if there were none, and the log knows nothing of bars."""

    def program() -> None:
        from ccafl_plugin.runs.train_command import main

        progress.QUIET = 0.0
        original, leave = terminal_bar.make_bar, Progress.__exit__

        def at_once(*arguments: Any) -> terminal_bar.TerminalBar:
            made = original(*arguments)
            made._bar.mininterval = 0.0
            return made

        def exit_and_check(self: Progress, *error: Any) -> None:
            assert OF_A_TRAINING[self.work] == self.done == self.total, (self.work, self.done, self.total)
            leave(self, *error)

        progress.make_bar, Progress.__exit__ = at_once, exit_and_check  # type: ignore[assignment, method-assign]
        more = ["test.batch_size", "9", "test.rerank", "True", "ccafl.stage1.batch_size", "16"]
        more += ["data.save_dir", str(tmp_path / "log")]
        assert main(["--root", str(pictures), *SMALL, *more]) == 0

    terminal = on_pseudo_terminal(program)
    text = terminal.getvalue()
    for work in set(OF_A_TRAINING) - {"Association"}:  # that is one piece here, of which nothing can be told before
        assert f"\r{work}: " in text, work
    log = next((tmp_path / "log").glob("train.log-*")).read_text()
    assert "\r" not in log and "%|" not in log
    assert "stage 1 epoch: [1/1]" in log and "epoch: [2/2][2/2]" in log
    shown = [line for line in terminal.on_screen() if line]
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    assert [line for line in shown if line in lines] == lines
    assert not [line for line in shown if "%|" in line]
