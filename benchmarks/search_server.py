"""Search on a Milvus server: time to build an index, time of a query, recall@10 against exact search.

``python -m benchmarks.search_server --address http://127.0.0.1:19530 --save FILE`` measures, ``--show FILE`` prints the
table. Features and queries are those of :mod:`benchmarks.search`. CPU seconds are those of this process and, with
``--pid``, of the server's on this machine: on a machine that others use too, they say more than seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import machine
from benchmarks.search import Problem, half, recall, searched, seconds_of
from ccafl_plugin.features.exact_index import ExactIndex
from ccafl_plugin.features.milvus_index import MilvusIndex, build_milvus, connect

COLLECTION = "ccafl_benchmark"


def main(arguments: list[str] | None = None) -> int:
    """Measures or shows."""
    options = parse(arguments)
    if options.show:
        print(table(json.loads(Path(options.show).read_text())))
        return 0
    results = {"head": machine.describe(1, "cpu"), "size": "search server", **measure(options)}
    if options.save:
        Path(options.save).write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_server", description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:19530")
    parser.add_argument("--pid", type=int, help="of the server, if it runs on this machine: its CPU seconds count too")
    parser.add_argument("--images", type=int, nargs="+", default=[20_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--save", metavar="FILE")
    parser.add_argument("--show", metavar="FILE")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """A row per number of images. The collection is removed in the end."""
    rows = [row(options, images) for images in options.images]
    client = connect(options.address)
    client.drop_collection(COLLECTION)
    versions = {"milvus": client.get_server_version(), "pymilvus": __import__("pymilvus").__version__}
    return {"versions": versions, "rows": rows}


def row(options: argparse.Namespace, images: int) -> dict[str, Any]:
    """One size."""
    problem = Problem(images, options.dim)
    whole, queries = problem.features(images), problem.queries(options.queries)
    load = round(os.getloadavg()[0], 1)
    with of_server(options.pid) as spent:
        built = seconds_of(lambda: build_milvus(whole, options.address, COLLECTION))
        build = {"s": built["s"], "CPU s": built["CPU s"], "server CPU s": spent()}
    index, exact = MilvusIndex(options.address, COLLECTION), ExactIndex(whole)
    true = searched(exact, queries)[0]
    with of_server(options.pid) as spent:
        found, query = searched(index, queries)
        query |= {"server CPU ms": 1000 * spent() / (len(queries) + 1)}  # one warms up
    filtered, filtered_query = searched(index, queries, half(images))
    return {
        "images": images,
        "load": load,
        "build": build,
        "query": query,
        "recall@10": recall(found, true),
        "filtered": filtered_query,
        "filtered recall@10": recall(filtered, searched(exact, queries, half(images))[0]),
    }


@contextmanager
def of_server(pid: int | None) -> Iterator[Callable[[], float]]:
    """CPU seconds of a process of Linux since it began; 0 without a process."""

    def used() -> float:
        if pid is None:
            return 0.0
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used()
    yield lambda: used() - before


def table(results: dict[str, Any]) -> str:
    """The figures in Markdown."""
    shown = []
    for each in results["rows"]:
        build, query, filtered = each["build"], each["query"], each["filtered"]
        shown.append(
            [
                f"{each['images']:,}",
                f"{build['s']:.0f} s ({build['CPU s']:.1f} + {build['server CPU s']:.1f})",
                f"{query['ms']:.1f} ms ({query['CPU ms']:.1f} + {query['server CPU ms']:.1f})",
                f"{each['recall@10']:.1%}",
                f"{each['filtered recall@10']:.1%}, {filtered['ms']:.1f} ms",
                each["load"],
            ]
        )
    headers = [
        "images",
        "build (CPU: client + server)",
        "query (CPU)",
        "recall@10",
        "filtered: recall@10, query",
        "load",
    ]
    made = tabulate(shown, headers, tablefmt="github", colalign=("right",) * 6, disable_numparse=True)
    head, versions = results["head"], results["versions"]
    about = f"Milvus {versions['milvus']}, pymilvus {versions['pymilvus']}, {head['date']}, {head['machine']}."
    return f"{made}\n\n{about}"


if __name__ == "__main__":
    sys.exit(main())
