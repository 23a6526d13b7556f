"""The time of the first command, by part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import THREAD_VARIABLES, Figures, Report

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/synthetic/ccafl_margin_tiny.yaml"


def measure(settings: tuple[str, ...], device: str) -> Figures:
    """Runs the command as its user does, from an empty folder, so that the dataset is rendered too.

    Args:
        settings: added to the command, ``KEY VALUE`` in turn.
        device: not looked at; the command takes what there is.
    """
    environment = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--config-file", str(ROOT / CONFIG), *settings]
        command = [sys.executable, "-m", "benchmarks.timed_training", str(time.time()), "parts.json", *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        total = time.time() - float(command[3])
        parts: dict[str, float] = json.loads(Path(folder, "parts.json").read_text())
    parts["rest"] = total - sum(parts.values())
    lines: Figures = [
        {"part": part, "seconds": seconds, "share %": 100 * seconds / total} for part, seconds in parts.items()
    ]
    return [*lines, {"part": "all", "seconds": total, "share %": 100.0}]


REPORT = Report(
    name="first_command",
    title=f"python tools/train.py --config-file {CONFIG}, into an empty folder",
    explained="Each second is counted once: extraction during stage 1 or at an epoch's start counts as extraction.",
    sizes={
        "full": {"settings": ()},
        "quick": {"settings": ("train.max_epoch", "2", "ccafl.iters_per_epoch", "2", "ccafl.stage1.epochs", "1")},
    },
    measure=measure,
)
