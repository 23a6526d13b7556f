"""How time and memory of the associations grow with the number of proxies."""

from __future__ import annotations

import time

from benchmarks.peak_memory import peak, start_counting
from benchmarks.problems import proxies
from benchmarks.report import Figures, Report
from ccafl_plugin.association import ASSOCIATIONS, associate


def measure(counts: tuple[int, ...], dim: int, device: str) -> Figures:
    """Every association at every number of proxies."""
    lines: Figures = []
    for count in counts:
        problem = proxies(count, cameras=6, dim=dim)
        for name in sorted(ASSOCIATIONS):
            start_counting(device)
            started = time.perf_counter()
            associate(problem.features, problem.cameras, name)
            seconds = time.perf_counter() - started
            lines.append(
                {
                    "association": name,
                    "proxies": count,
                    "seconds": seconds,
                    "ns per pair": seconds / (count * (count - 1) / 2) * 1e9,
                    "peak MB": round(peak(device) / 2**20),
                }
            )
    return lines


REPORT = Report(
    name="association_growth",
    title="Associations of more and more proxies, 2048-d, six cameras",
    explained=(
        "Peak MB: all that the process holds, its libraries and the features included. Time that grows with N^2 is the "
        "same per pair."
    ),
    sizes={"full": {"counts": (12500, 25000, 50000), "dim": 2048}, "quick": {"counts": (100, 200), "dim": 8}},
    measure=measure,
)
