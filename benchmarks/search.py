"""Search among many images: time to build an index, time of a query, recall@10 against exact search.

``python -m benchmarks.search --save FILE`` measures, ``--show FILE`` prints the tables. Features are drawn, not made
from images: people are random directions, an image is its person's direction with noise, so that two images of one
person have a cosine of about 0.67, and 20 images show one person. Coordinates differ in size, as principal
components do.

CPU seconds are those of all threads of the process; on a machine that others use too, they say more than seconds.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from tabulate import tabulate

from benchmarks import machine
from ccafl_plugin.features.exact_index import ExactIndex
from ccafl_plugin.features.faiss_index import FaissIndex, build_faiss
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.milvus_index import MilvusIndex, build_milvus
from ccafl_plugin.features.search_index import Filter, SearchIndex

PER_PERSON = 20
NOISE = 0.7
CAMERAS = 6
TOP = 10
FILTERED = ("c1", "c2")
"""Cameras of the filtered queries."""


def main(arguments: list[str] | None = None) -> int:
    """Measures or shows."""
    options = parse(arguments)
    if options.show:
        print(tables(json.loads(Path(options.show).read_text())))
        return 0
    torch.set_num_threads(options.threads)
    results = {"head": machine.describe(options.threads, "cpu"), "size": "search", **measure(options)}
    if options.save:
        Path(options.save).write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--milvus-images", type=int, default=50_000, help="0: milvus-lite is left out")
    parser.add_argument("--folder", metavar="FOLDER", help="of the steps; a stopped run goes on from it")
    parser.add_argument("--save", metavar="FILE")
    parser.add_argument("--show", metavar="FILE")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures; steps that ``options.folder`` holds from before are not done again."""
    if options.folder:
        return in_folder(options, Path(options.folder))
    with tempfile.TemporaryDirectory() as folder:
        return in_folder(options, Path(folder))


def in_folder(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """See :func:`measure`."""
    problem = Problem(options.images, options.dim)
    queries = problem.queries(options.queries)
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "faiss"
    built = step(folder, "build", lambda: build_of(problem.features(options.images), place))
    exact = step(folder, "exact", lambda: exact_row(problem.features(options.images), queries))
    gc.collect()
    rows = [
        {**exact["row"], "load": exact["load"]},
        step(folder, "faiss", lambda: faiss_row(place, built, exact, queries)),
    ]
    if options.milvus_images:
        few = problem.features(options.milvus_images)
        rows.append(step(folder, "milvus", lambda: milvus(few, folder / "file.db", queries)))
    peaks = [made["peak GB"] for made in (built, *rows)]
    return {"rows": rows, "peak GB": max(peaks)}


def step(folder: Path, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a step gave: made now, or read where it was made before."""
    file = folder / f"{name}.json"
    if not file.is_file():
        load = round(os.getloadavg()[0], 1)
        made = {**make(), "load": load, "peak GB": peak()}
        file.write_text(json.dumps(made, indent=1) + "\n")
        print(f"{name} is done (peak {peak():.1f} GB)", file=sys.stderr, flush=True)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def build_of(whole: FeatureSet, place: Path) -> dict[str, Any]:
    """Times of building an index of faiss, and what was built."""
    return seconds_of(functools.partial(build_faiss, whole, place))


def exact_row(whole: FeatureSet, queries: torch.Tensor) -> dict[str, Any]:
    """Exact search: its row, and what it finds, without and with a filter."""
    index = ExactIndex(whole)
    true, times = searched(index, queries)
    filtered, _ = searched(index, queries, half(len(whole)))
    row = {"index": "exact", "images": len(whole), "recall@10": 1.0, **times, "peak GB": peak()}
    return {"row": row, "true": [sorted(rows) for rows in true], "filtered": [sorted(rows) for rows in filtered]}


def faiss_row(place: Path, built: dict[str, Any], exact: dict[str, Any], queries: torch.Tensor) -> dict[str, Any]:
    """Search in the index of faiss, against what exact search finds."""
    opening = seconds_of(functools.partial(FaissIndex, place))
    index = opening.pop("made")
    found, times = searched(index, queries)
    filtered, filtered_times = searched(index, queries, half(len(index)))
    return {
        "index": "faiss",
        "images": len(index),
        "build s": built["s"],
        "build CPU s": built["CPU s"],
        "build load": built["load"],
        "open s": opening["s"],
        "GB on disk": size_of(place),
        "recall@10": recall(found, exact["true"]),
        **times,
        "filtered recall@10": recall(filtered, exact["filtered"]),
        "filtered ms": filtered_times["ms"],
        "filtered CPU ms": filtered_times["CPU ms"],
        "built": built["made"],
    }


def half(images: int) -> Filter:
    """Two cameras of six, and the first half of the time."""
    return Filter(cameras=FILTERED, until=images / 2)


def milvus(few: FeatureSet, file: Path, queries: torch.Tensor) -> dict[str, Any]:
    """The same in milvus-lite, with fewer images."""
    building = seconds_of(functools.partial(build_milvus, few, str(file)))
    del building["made"]
    true, _ = searched(ExactIndex(few), queries)
    found, times = searched(MilvusIndex(str(file)), queries)
    return {
        "index": "milvus-lite",
        "images": len(few),
        **{f"build {name}": value for name, value in building.items()},
        "GB on disk": size_of(file),
        "recall@10": recall(found, true),
        **times,
    }


class Problem:
    """Drawn features.

    Args:
        images: N.
        dim: D.
    """

    def __init__(self, images: int, dim: int) -> None:
        self.dim = dim
        self._scale = (1 / np.sqrt(1 + np.arange(dim) / 16)).astype(np.float32)
        people = max(1, images // PER_PERSON)
        self._people = np.random.default_rng(0).standard_normal((people, dim), dtype=np.float32) * self._scale

    def features(self, images: int) -> FeatureSet:
        """The first images, with cameras and times."""
        values = torch.empty(images, self.dim)
        block = 16_384
        for first in range(0, images, block):
            rows = np.arange(first, min(first + block, images))
            values[first : first + block] = torch.from_numpy(self._of(rows // PER_PERSON, first + 1))
        columns = {
            "path": [f"/pictures/{row:08d}.jpg" for row in range(images)],
            "camera": [f"c{row % CAMERAS}" for row in range(images)],
            "time": [float(row) for row in range(images)],
        }
        return FeatureSet(values, columns, "0" * 64, {"feature": "retrieval"})

    def queries(self, count: int) -> torch.Tensor:
        """(Q, D) new images of people in the index, spread over all."""
        people = np.linspace(0, len(self._people) - 1, count).astype(np.int64)
        return torch.from_numpy(self._of(people, 0))

    def _of(self, people: Any, seed: int) -> Any:
        rng = np.random.default_rng([7, seed])
        drawn = rng.standard_normal((len(people), self.dim), dtype=np.float32)
        drawn = self._people[people % len(self._people)] + NOISE * self._scale * drawn
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def searched(
    index: SearchIndex, queries: torch.Tensor, only: Filter | None = None
) -> tuple[list[set[int]], dict[str, float]]:
    """(rows that were found for each query, times of single queries)."""
    index.search(queries[:1], TOP, only)
    found, times, spent = [], [], []
    for query in queries:
        with stopwatch() as read:
            hits = index.search(query[None], TOP, only)
        wall, cpu = read()
        times.append(1000 * wall)
        spent.append(1000 * cpu)
        found.append({hit.row for hit in hits[0]})
    return found, {"ms": statistics.median(times), "CPU ms": statistics.median(spent), "slowest ms": max(times)}


def recall(found: list[set[int]], true: Sequence[Collection[int]]) -> float:
    """The share of the true best that was found."""
    return sum(len(got.intersection(wanted)) for got, wanted in zip(found, true, strict=True)) / sum(map(len, true))


def seconds_of(make: Callable[[], Any]) -> dict[str, Any]:
    """Seconds, CPU seconds and what was made."""
    with stopwatch() as read:
        made = make()
    wall, cpu = read()
    return {"s": wall, "CPU s": cpu, "made": made}


@contextmanager
def stopwatch() -> Iterator[Callable[[], tuple[float, float]]]:
    """(seconds, CPU seconds of all threads) since it began."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield lambda: (time.perf_counter() - wall, time.process_time() - cpu)


def size_of(place: Path) -> float:
    """Gigabytes on disk."""
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e9


def peak() -> float:
    """Gigabytes that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def tables(results: dict[str, Any]) -> str:
    """The figures in Markdown."""
    head = results["head"]
    shown = []
    for row in results["rows"]:
        build = f"{row['build s']:.0f} s ({row['build CPU s']:.0f})" if "build s" in row else "-"
        disk = f"{row['GB on disk']:.2f} GB" if "GB on disk" in row else "-"
        query = f"{row['ms']:.1f} ms ({row['CPU ms']:.1f})"
        filtered = "-"
        if "filtered ms" in row:
            times = f"{row['filtered ms']:.1f} ms ({row['filtered CPU ms']:.1f})"
            filtered = f"{row['filtered recall@10']:.1%}, {times}"
        recalled, load = f"{row['recall@10']:.1%}", f"{row.get('build load', '-')}, {row['load']}"
        shown.append([row["index"], f"{row['images']:,}", build, disk, query, recalled, filtered, load])
    headers = [
        *["index", "images", "build (CPU)", "on disk", "query (CPU)", "recall@10", "filtered: recall@10, query"],
        "load while building, searching",
    ]
    table = tabulate(shown, headers, tablefmt="github", colalign=("left", *["right"] * 7), disable_numparse=True)
    about = (
        f"{head['date']}, {head['machine']}, {head['threads']} threads of {head['cores']} cores, peak memory "
        f"{results['peak GB']:.1f} GB."
    )
    return f"{table}\n\n{about}"


if __name__ == "__main__":
    sys.exit(main())
