"""Measures one way of one row, or a report, in a separate process, so that its memory can be measured."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peak_memory import peak, resident, start_counting
from benchmarks.reports import REPORTS
from benchmarks.rows import ROWS

ENOUGH_SECONDS = {"full": 3.0, "usual": 3.0, "quick": 0.1}
MOST_RUNS = 20


def main(arguments: list[str]) -> None:
    """NAME WAY SIZE DEVICE FOLDER: writes ``FOLDER/measured.json`` and a row's result as ``FOLDER/result.npz``."""
    name, way, size, device, folder = arguments
    if way == "report":
        report = REPORTS[name]
        Path(folder, "measured.json").write_text(json.dumps(report.measure(**report.sizes[size], device=device)))
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


def as_array(value: Any) -> np.ndarray:
    """A copy of a result on the host."""
    return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else np.array(value)


if __name__ == "__main__":
    main(sys.argv[1:])
