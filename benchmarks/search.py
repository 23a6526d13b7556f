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
from collections.abc import Callable, Iterator
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
"""Cameras of the filtered queries; they ask for the first half of the time, too."""


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
    parser.add_argument("--save", metavar="FILE")
    parser.add_argument("--show", metavar="FILE")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    problem = Problem(options.images, options.dim)
    queries = problem.queries(options.queries)
    only = Filter(cameras=FILTERED, until=options.images / 2)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        whole = problem.features(options.images)
        say("features are drawn")
        building = seconds_of(functools.partial(build_faiss, whole, Path(folder, "faiss")))
        say(f"faiss is built: {building}")
        exact = ExactIndex(whole)
        true, exact_times = searched(exact, queries)
        true_filtered, _ = searched(exact, queries, only)
        rows.append({"index": "exact", "images": len(whole), "recall@10": 1.0, **exact_times, "peak GB": peak()})
        say("exact search is done")
        few = problem.features(options.milvus_images)
        del whole, exact
        gc.collect()
        opening = seconds_of(lambda: FaissIndex(Path(folder, "faiss")))
        index = opening.pop("made")
        found, times = searched(index, queries)
        filtered, filtered_times = searched(index, queries, only)
        built = building.pop("made")
        rows.append(
            {
                "index": "faiss",
                "images": options.images,
                **{f"build {name}": value for name, value in building.items()},
                "open s": opening["s"],
                "GB on disk": size_of(Path(folder, "faiss")),
                "recall@10": recall(found, true),
                **times,
                "filtered recall@10": recall(filtered, true_filtered),
                "filtered ms": filtered_times["ms"],
                "built": built,
            }
        )
        say("faiss is searched")
        if len(few):
            rows.append(milvus(few, Path(folder, "file.db"), queries))
    return {"rows": rows, "peak GB": peak()}


def milvus(few: FeatureSet, file: Path, queries: torch.Tensor) -> dict[str, Any]:
    """The same in milvus-lite, with fewer images."""
    building = seconds_of(lambda: build_milvus(few, str(file)))
    building.pop("made")
    say(f"milvus-lite is built: {building}")
    true, _ = searched(ExactIndex(few), queries)
    index = MilvusIndex(str(file))
    found, times = searched(index, queries)
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


def recall(found: list[set[int]], true: list[set[int]]) -> float:
    """The share of the true best that was found."""
    return sum(len(got & wanted) for got, wanted in zip(found, true, strict=True)) / sum(map(len, true))


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


def say(line: str) -> None:
    """How far it is."""
    print(f"{line} (peak {peak():.1f} GB)", file=sys.stderr, flush=True)


def tables(results: dict[str, Any]) -> str:
    """The figures in Markdown."""
    head = results["head"]
    shown = []
    for row in results["rows"]:
        build = f"{row['build s']:.0f} s ({row['build CPU s']:.0f})" if "build s" in row else "-"
        disk = f"{row['GB on disk']:.2f} GB" if "GB on disk" in row else "-"
        query = f"{row['ms']:.1f} ms ({row['CPU ms']:.1f})"
        filtered = f"{row['filtered recall@10']:.1%}, {row['filtered ms']:.1f} ms" if "filtered ms" in row else "-"
        shown.append([row["index"], f"{row['images']:,}", build, disk, query, f"{row['recall@10']:.1%}", filtered])
    headers = ["index", "images", "build (CPU)", "on disk", "query (CPU)", "recall@10", "filtered: recall@10, query"]
    table = tabulate(shown, headers, tablefmt="github", colalign=("left", *["right"] * 6), disable_numparse=True)
    about = (
        f"{head['date']}, {head['machine']}, {head['threads']} threads of {head['cores']} cores, load before "
        f"{head['load before']}, peak memory {results['peak GB']:.1f} GB."
    )
    return f"{table}\n\n{about}"


if __name__ == "__main__":
    sys.exit(main())
