"""The tables of a file of results, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

Results = Mapping[str, Any]
HEADERS = ("work", "usual way", "usual s", "this s", "ratio", "bound s", "of bound", "usual MB", "this MB", "results")
GPU_HEADERS = ("GPU usual s", "GPU this s", "GPU ratio")
SHORT_HEAD = ("date", "machine", "cores", "GPU", "torch", "torchreid", "ccafl_plugin")
EXPLAINED = (
    "Seconds: the fastest of several runs. MB: memory at the peak beyond the input. Bound: the bare matrix products, "
    "or other work that no way can avoid. Results: the largest difference between the two ways."
)


def make_table(results: Results, on_gpu: Results | None = None) -> str:
    """Head, rows and reports.

    Args:
        results: ``head`` as :func:`benchmarks.machine.describe` gives it, ``rows`` and ``reports`` as
            :mod:`benchmarks.run` writes them.
        on_gpu: results of a GPU: columns beside the rows of the same name, and reports.
    """
    heads = [_head(results["head"])]
    rows = [_cells(row) for row in results["rows"]]
    headers, align = [*HEADERS], ["left", "left", *["right"] * 7, "left"]
    if on_gpu is not None:
        what = "columns" if on_gpu["rows"] else "reports"
        heads.append(" ".join(filter(None, [f"GPU {what}: {_head(on_gpu['head'])}.", on_gpu.get("note", "")])))
    if on_gpu is not None and on_gpu["rows"]:
        there = {row["name"]: row for row in on_gpu["rows"]}
        rows = [[*cells, *_gpu_cells(there.get(row["name"]))] for cells, row in zip(rows, results["rows"], strict=True)]
        headers, align = [*headers, *GPU_HEADERS], [*align, *["right"] * len(GPU_HEADERS)]
    notes = [note for row in results["rows"] for note in _notes(row)]
    reports = [*results["reports"]]
    if on_gpu is not None:
        notes += [note for row in on_gpu["rows"] for note in _notes(row, "GPU, ")]
        reports += on_gpu["reports"]
    blocks = [*heads]
    if rows:
        blocks += [EXPLAINED, tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)]
    if notes:
        blocks.append("\n".join(notes))
    for report in reports:
        blocks += [f"**{report['title']}.** {report['explained']}", _report(report)]
    return "\n\n".join(blocks)


def make_short_table(results: Results, names: Sequence[str]) -> str:
    """A line about the machine and some rows with few columns, for a page with little room.

    Args:
        results: as in :func:`make_table`.
        names: of the rows, in this order; those without results are left out.
    """
    rows = {row["name"]: row for row in results["rows"]}
    lines = []
    for row in (rows[name] for name in names if name in rows):
        usual, ours, mark = row["usual"], row["ours"], _mark(row)
        lines.append(
            [
                row["title"],
                row["usual_title"],
                f"{_seconds(usual['seconds'])} s, {usual['peak_mb']} MB{mark}",
                f"{_seconds(ours['seconds'])} s, {ours['peak_mb']} MB",
                _ratio(row),
            ]
        )
    headers, align = ["work", "usual way", "usual", "here", "times faster"], ["left", "left", *["right"] * 3]
    body = tabulate(lines, headers, tablefmt="pipe", disable_numparse=True, colalign=align if lines else None)
    head = ", ".join(f"{name} {results['head'][name]}" for name in SHORT_HEAD if name in results["head"])
    return f"{head}\n\n{body}"


def _head(head: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in head.items())


def _cells(row: Mapping[str, Any]) -> list[str]:
    usual, ours, bound = row.get("usual"), row["ours"], row.get("bound")
    mark = _mark(row)
    return [
        row["title"],
        row["usual_title"],
        _seconds(usual["seconds"]) + mark if usual else "-",
        _seconds(ours["seconds"]),
        _ratio(row),
        _seconds(bound["seconds"]) if bound else "-",
        f"{ours['seconds'] / bound['seconds']:.2f}" if bound else "-",
        f"{usual['peak_mb']}{mark}" if usual else "-",
        str(ours["peak_mb"]),
        row["equality"] + mark,
    ]


def _gpu_cells(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return ["-", "-", "-"]
    usual = _seconds(row["usual"]["seconds"]) + _mark(row) if "usual" in row else "-"
    return [usual, _seconds(row["ours"]["seconds"]), _ratio(row)]


def _mark(row: Mapping[str, Any]) -> str:
    return " *" if "compared_at" in row else ""


def _ratio(row: Mapping[str, Any]) -> str:
    if "usual" not in row:
        return "-"
    return f"{row['usual']['seconds'] / row.get('ours_compared', row['ours'])['seconds']:.1f}{_mark(row)}"


def _notes(row: Mapping[str, Any], where: str = "") -> list[str]:
    if "compared_at" not in row:
        return []
    size = ", ".join(f"{name} {value}" for name, value in row["compared_at"].items())
    needed, ours = row["usual_bytes"] / 2**30, row["ours_compared"]
    return [
        f"\\* {where}{row['title']}: the usual way would need {needed:.0f} GB. The two are compared at {size}, "
        f"where this package's takes {_seconds(ours['seconds'])} s and {ours['peak_mb']} MB."
    ]


def _report(report: Mapping[str, Any]) -> str:
    figures = report["figures"]
    if not figures:
        return "(nothing)"
    lines = [[_seconds(value) if isinstance(value, float) else value for value in line.values()] for line in figures]
    is_number = [any(isinstance(line[name], (int, float)) for line in figures) for name in figures[0]]
    align = ["right" if right else "left" for right in is_number]
    return tabulate(lines, list(figures[0]), tablefmt="github", disable_numparse=True, colalign=align)


def _seconds(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.2f}"
