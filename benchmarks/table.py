"""The table of a file of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

HEADERS = ("work", "usual way", "usual s", "this s", "ratio", "bound s", "of bound", "usual MB", "this MB", "results")


def make_table(results: Mapping[str, Any]) -> str:
    """Head and rows as Markdown.

    Args:
        results: ``head`` as :func:`benchmarks.machine.describe` gives it and ``rows`` as :mod:`benchmarks.run` writes
            them.
    """
    head = ", ".join(f"{name} {value}" for name, value in results["head"].items())
    rows = [_cells(row) for row in results["rows"]]
    align = ("left", "left", *["right"] * 7, "left")
    body = tabulate(rows, HEADERS, tablefmt="github", disable_numparse=True, colalign=align)
    explained = (
        "Seconds: the fastest of several runs. MB: memory at the peak beyond the input. Bound: work that no way can "
        "avoid. Results: the largest difference between the two ways."
    )
    notes = [note for row in results["rows"] for note in _notes(row)]
    return "\n".join([head, "", explained, "", body, *([""] if notes else []), *notes])


def _cells(row: Mapping[str, Any]) -> list[str]:
    usual, ours, bound = row.get("usual"), row["ours"], row.get("bound")
    beside_usual = row.get("ours_compared", ours)
    mark = " *" if "compared_at" in row else ""
    return [
        row["title"],
        row["usual_title"],
        _seconds(usual["seconds"]) + mark if usual else "-",
        _seconds(ours["seconds"]),
        f"{usual['seconds'] / beside_usual['seconds']:.1f}{mark}" if usual else "-",
        _seconds(bound["seconds"]) if bound else "-",
        f"{ours['seconds'] / bound['seconds']:.2f}" if bound else "-",
        f"{usual['peak_mb']}{mark}" if usual else "-",
        str(ours["peak_mb"]),
        row["equality"] + mark,
    ]


def _notes(row: Mapping[str, Any]) -> list[str]:
    if "compared_at" not in row:
        return []
    size = ", ".join(f"{name} {value}" for name, value in row["compared_at"].items())
    needed, ours = row["usual_bytes"] / 2**30, row["ours_compared"]
    return [
        f"\\* {row['title']}: the usual way would need {needed:.0f} GB. The two are compared at {size}, where this "
        f"package's takes {_seconds(ours['seconds'])} s and {ours['peak_mb']} MB."
    ]


def _seconds(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"
