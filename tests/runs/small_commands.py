"""The training command with a run of two short epochs without text, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.runs.train_command import main

SMALL = [
    *["model.name", "clip_tiny", "model.pretrained", "False", "loss.name", "ccafl", "use_gpu", "False"],
    *["data.height", "64", "data.width", "32", "data.workers", "0", "train.print_freq", "1", "train.max_epoch", "2"],
    *["sampler.train_sampler", "ProxySampler", "sampler.num_instances", "2", "train.batch_size", "8"],
    *["ccafl.iters_per_epoch", "2", "ccafl.stage1.epochs", "1", "test.dist_metric", "cosine"],
    *["ccafl.terms.inter.first_epoch", "1", "ccafl.terms.alignment.first_epoch", "1"],
    *["ccafl.terms.ical.first_epoch", "1"],
]

NO_TEXT = ["ccafl.terms.icdl.weight_alignment", "0", "ccafl.terms.alignment.enabled", "False"]


def arguments(root: Path, folder: Path, *pairs: str) -> list[str]:
    """Of ``ccafl-train``, over :func:`tests.engine.small_runs.write_pictures`."""
    return ["--root", str(root), *SMALL, *NO_TEXT, "data.save_dir", str(folder), *pairs]


def train(root: Path, folder: Path, *pairs: str) -> int:
    """Runs the command and returns its exit status."""
    return main(arguments(root, folder, *pairs))


def saved(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, optimizers' moments included."""
    _, parts = checkpoints.load(folder / f"checkpoint-{epoch}.json")
    found = {}
    for part, state in parts.items():
        found |= {f"{part}/{name}": tensor for name, tensor in state["state_dict"].items()}
        for number, moments in state.get("optimizer", {}).get("state", {}).items():
            found |= {f"{part}/{number}/{name}": torch.as_tensor(value) for name, value in moments.items()}
    return found


def results_of(folder: Path) -> dict[str, Any]:
    """``results.json`` without the seconds."""
    content = json.loads((folder / "results.json").read_text())
    return {key: content[key] for key in ("scores", "camera_pairs", "association", "settings", "skipped_steps")}
