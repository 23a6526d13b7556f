"""Settings that change what a step costs, from the command line to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.models.image_tower import ImageTower
from ccafl_plugin.runs.train_command import main
from tests.layouts import write_market1501

SMALL = [
    *["model.name", "clip_tiny", "model.pretrained", "False", "loss.name", "ccafl", "use_gpu", "False"],
    *["data.height", "64", "data.width", "32", "data.workers", "0", "train.max_epoch", "1", "ccafl.stage1.epochs", "1"],
    *["sampler.train_sampler", "ProxySampler", "sampler.num_instances", "2", "train.batch_size", "8"],
    *["ccafl.iters_per_epoch", "1"],
]


@pytest.fixture
def matmul_precision_restored() -> Any:
    """The run sets torch's matmul precision for the whole process."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def run(root: Path, log: Path, *pairs: str) -> None:
    write_market1501(root, identities=5, cameras=2, images=3, test_identities=12)
    assert main(["--root", str(root), *SMALL, "data.save_dir", str(log), *pairs]) == 0


def test_a_run_with_compiled_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matmul_precision_restored: None
) -> None:
    """With a compiler that counts what it is handed; tests/models/test_switches.py has a true one."""
    compiled, calls = [], []

    def count(call: Any) -> Any:
        compiled.append(call)
        return lambda hidden: calls.append(call) or call(hidden)

    monkeypatch.setattr(torch, "compile", count)
    pairs = ["ccafl.compile", "True", "ccafl.matmul_precision", "high", "ccafl.precision", "bf16"]
    run(tmp_path / "data", tmp_path / "log", *pairs)
    assert len(compiled) == 5
    assert calls[:5] == compiled
    assert torch.get_float32_matmul_precision() == "high"


def test_a_run_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    seen = set()
    forward = ImageTower.run_stages

    def run_stages(tower: ImageTower, hidden: torch.Tensor) -> torch.Tensor:
        if tower.training:
            seen.add((tower.gradient_checkpointing, tower.channels_last, len(hidden)))
        return forward(tower, hidden)

    monkeypatch.setattr(ImageTower, "run_stages", run_stages)
    pairs = ["ccafl.gradient_checkpointing", "True", "ccafl.channels_last", "False", "ccafl.accumulation", "4"]
    run(tmp_path / "data", tmp_path / "log", *pairs)
    assert seen == {(True, False, 2)}
    assert "Every batch runs in 4 parts; batch norms see the parts, not the batch" in capsys.readouterr().out
