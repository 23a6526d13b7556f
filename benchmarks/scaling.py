"""Memory and time far beyond a benchmark's size, on paper: ``python -m benchmarks.scaling``.

Time is work divided by a rate; the rates are those of the newest results in ``benchmarks/results``, at their size.
Without results the work is shown alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import cost_table
from benchmarks.growth import BY_IMAGES, BY_PROXIES, WORK_BY_IMAGES, WORK_BY_PROXIES, Memory, Setting, Work, on_the_gpu
from ccafl_plugin.suites.generated_pages import Document, update

PROXIES = (10**4, 10**5, 10**6)
IMAGES = (10**6, 10**8)
DEVICES_GB = (24, 80, 141)


def tables(folder: Path) -> str:
    """All tables, in Markdown, with the rates of the newest results in a folder."""
    cpu, gpu = cost_table.newest(folder, gpu=False), cost_table.newest(folder, gpu=True)
    blocks = [
        "Bytes by the number of proxies N, with C = 15 cameras:",
        _memory_table(BY_PROXIES, [Setting(proxies=n) for n in PROXIES], [f"N = {n:.0e}" for n in PROXIES]),
        "Bytes by the number of images M:",
        _memory_table(BY_IMAGES, [Setting(images=m) for m in IMAGES], [f"M = {m:.0e}" for m in IMAGES]),
        "Proxies for which all that grows with them fits on a GPU, beside nothing else:",
        _fitting_table(),
        "Work and time by the number of proxies:",
        _work_table(WORK_BY_PROXIES, [Setting(proxies=n) for n in PROXIES], PROXIES, "N", cpu, gpu),
        "Work and time by the number of images:",
        _work_table(WORK_BY_IMAGES, [Setting(images=m) for m in IMAGES], IMAGES, "M", cpu, gpu),
        _measured_on(cpu, gpu),
    ]
    return "\n\n".join(blocks)


def _memory_table(parts: tuple[Memory, ...], settings: list[Setting], headers: list[str]) -> str:
    rows = [[part.name, part.where, part.formula, *(_bytes(part.size(given)) for given in settings)] for part in parts]
    return _table(rows, ["what", "where", "bytes", *headers], 3)


def _fitting_table() -> str:
    variants = {
        "as in the paper": Setting(),
        "ccafl.terms.icdl.instances 8": Setting(instances=8),
        "ccafl.terms.icdl.instances 1": Setting(instances=1),
    }
    rows = [
        [name, *(f"{int(gigabytes * 1e9 / _bytes_per_proxy(given)):,}" for gigabytes in DEVICES_GB)]
        for name, given in variants.items()
    ]
    return _table(rows, ["setting", *(f"{gigabytes} GB" for gigabytes in DEVICES_GB)], 1)


def _bytes_per_proxy(given: Setting) -> int:
    return on_the_gpu(replace(given, proxies=1)) - on_the_gpu(replace(given, proxies=0))


def _work_table(
    parts: tuple[Work, ...],
    settings: list[Setting],
    sizes: tuple[int, ...],
    letter: str,
    cpu: Mapping[str, Any] | None,
    gpu: Mapping[str, Any] | None,
) -> str:
    headers = ["what", "every", "work", *(f"{letter} = {size:.0e}" for size in sizes)]
    known = {
        name: results
        for name, results in (("CPU", cpu), ("GPU", gpu))
        if results is not None and any(_measured_rate(part, results) is not None for part in parts)
    }
    headers += [f"{name}, {size:.0e}" for name in known for size in sizes]
    rows = []
    for part in parts:
        row = [part.name, part.often, part.formula, *(f"{part.amount(given):.1e} {part.unit}" for given in settings)]
        for results in known.values():
            rate = _measured_rate(part, results)
            row += ["-" if rate is None else _duration(part.amount(given) / rate) for given in settings]
        rows.append(row)
    return _table(rows, headers, 3)


def _measured_rate(part: Work, results: Mapping[str, Any]) -> float | None:
    entries = {entry["name"]: entry for entry in (*results["rows"], *results["reports"])}
    return part.measured(entries[part.row]) if part.row in entries else None


def _measured_on(cpu: Mapping[str, Any] | None, gpu: Mapping[str, Any] | None) -> str:
    if cpu is None and gpu is None:
        return "There are no results in `benchmarks/results` yet, so work is shown without time."
    heads = {"CPU": cpu, "GPU": gpu}
    known = [
        f"{name}: {results['head']['date']}, {results['head']['machine']}, {results['head']['threads']} threads"
        + (f", {results['head']['GPU']}" if name == "GPU" else "")
        for name, results in heads.items()
        if results is not None
    ]
    return f"Rates of {'; '.join(known)}. A dash: not measured there."


def _table(rows: list[list[str]], headers: list[str], left: int) -> str:
    align = ["left"] * left + ["right"] * (len(headers) - left)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)


def _bytes(value: float) -> str:
    unit, divisor = ("GB", 1e9) if value >= 1e9 else ("MB", 1e6)
    return f"{value / divisor:,.3g} {unit}" if value < 1e12 else f"{value / 1e12:,.3g} TB"


def _duration(seconds: float) -> str:
    for unit, length in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


SCALING = Document(cost_table.ROOT / "docs" / "scaling.md", "scaling", "python -m benchmarks.scaling --write", tables)


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables, or writes them into docs/scaling.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    if parser.parse_args(arguments).write:
        update(SCALING, cost_table.RESULTS)
    else:
        print(tables(cost_table.RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
