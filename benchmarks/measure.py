"""Measures one way of one row, or a report, in a separate process, so that its memory can be measured."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import steps
from benchmarks.peak_memory import peak, resident, start_counting
from benchmarks.reports import REPORTS
from benchmarks.rows import ROWS

ENOUGH_SECONDS = {"full": 3.0, "usual": 3.0, "quick": 0.1}
MOST_RUNS = 20


def main(arguments: list[str]) -> None:
    """NAME WAY SIZE DEVICE FOLDER CHANGES: writes ``FOLDER/measured.json`` and a row's result as ``FOLDER/result.npz``.

    CHANGES are entries of a report's size, as JSON.
    """
    name, way, size, device, folder, changes = arguments
    if way == "report":
        report, figures = REPORTS[name], []
        steps.follow(Path(folder, steps.NAME))
        for line in report.measure(**{**report.sizes[size], **json.loads(changes)}, device=device):
            figures.append(line)
            save(figures, Path(folder))
            steps.step("the next line")
        steps.step("the end")
        save(figures, Path(folder))
        return
    row = ROWS[name]
    problem = row.prepare(**row.size(size), device=device)
    run = getattr(row, way)
    start_counting(device)
    before = resident()
    seconds: list[float] = []
    while not seconds or (sum(seconds) < ENOUGH_SECONDS[size] and len(seconds) < MOST_RUNS):
        started = time.perf_counter()
        result = run(problem)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        if len(seconds) == 1:
            used = peak(device) - (before if device == "cpu" else 0)
            first_result = {key: as_array(value) for key, value in result.items()}
    measured = {"seconds": min(seconds), "runs": len(seconds), "peak_mb": round(used / 2**20), "size": row.size(size)}
    Path(folder, "measured.json").write_text(json.dumps(measured))
    np.savez(Path(folder, "result.npz"), **first_result)


def save(figures: list[Any], folder: Path) -> None:
    """The lines that are there; whole, whenever the process is ended."""
    part = folder / "measured.part"
    part.write_text(json.dumps(figures))
    part.replace(folder / "measured.json")


def as_array(value: Any) -> np.ndarray:
    """A copy of a result on the host."""
    return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else np.array(value)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # reports end what they have started
    main(sys.argv[1:])
