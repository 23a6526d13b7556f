"""The time that the plugin adds to torchreid's import."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.report import Figures, Report

PROGRAM = "import time; started = time.perf_counter(); import {}; print(time.perf_counter() - started)"


def measure(runs: int, device: str) -> Figures:
    """New processes alternate, so that both have the same load and the same cached files."""
    packages = ("torchreid", "ccafl_plugin")
    seconds: dict[str, list[float]] = {package: [] for package in packages}
    for _ in range(runs + 1):
        for package in packages:
            command = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(package)]
            seconds[package].append(float(subprocess.run(command, capture_output=True, check=True, text=True).stdout))
    fastest = {package: min(times[1:]) for package, times in seconds.items()}  # the first reads files from the disk
    lines: Figures = [{"import": package, "seconds": value} for package, value in fastest.items()]
    return [*lines, {"import": "difference", "seconds": fastest["ccafl_plugin"] - fastest["torchreid"]}]


REPORT = Report(
    name="imports",
    title="import ccafl_plugin, which imports torchreid",
    explained="Seconds: the fastest of several new processes.",
    sizes={"full": {"runs": 5}, "quick": {"runs": 1}},
    measure=measure,
)
