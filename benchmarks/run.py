"""The command: measures rows and reports in separate processes, saves the results, and prints the tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # also when called as benchmarks/run.py
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of this process and those it starts

from benchmarks import cost_table, machine, table  # noqa: E402
from benchmarks.report import THREAD_VARIABLES, Report  # noqa: E402
from benchmarks.row import Row  # noqa: E402
from ccafl_plugin.suites import generated_pages  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Parses, measures, prints."""
    options = parse(arguments)
    if options.show:
        print(table.make_table(*(json.loads(Path(file).read_text()) for file in options.show)))
        return 0
    if options.readme:
        return update_readme()
    from benchmarks.reports import REPORTS
    from benchmarks.rows import ROWS

    names = (*ROWS, *REPORTS)
    unknown = [name for name in options.only if name not in names]
    if unknown:
        print(f"--only: {unknown[0]!r} is not a row. Choose from: {', '.join(names)}.", file=sys.stderr)
        return 2
    chosen = options.only or names
    changes = read_changes(options.set, [report for name, report in REPORTS.items() if name in chosen])
    size = "quick" if options.quick else "full"
    results: dict[str, Any] = {
        "head": machine.describe(options.threads, options.device),
        "size": size,
        "rows": [],
        "reports": [],
    }
    for name, row in ROWS.items():
        if name in chosen and (row.on_gpu or options.device == "cpu"):
            print(f"{name} ...", file=sys.stderr, flush=True)
            results["rows"].append(measure_row(row, size, options))
    for name, report in REPORTS.items():
        if name in chosen and options.device in report.devices:
            print(f"{name} ...", file=sys.stderr, flush=True)
            own = {key: value for key, value in changes.items() if key in report.sizes[size]}
            results["reports"].append(measure_report(report, size, options, own))
            save(results, options)
    save(results, options)
    print(table.make_table(results))
    return 0 if all(entry.get("passed", True) for entry in (*results["rows"], *results["reports"])) else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these rows and reports")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each process; all cores")
    parser.add_argument("--ours-only", action="store_true", help="leave the usual ways out; nothing is compared then")
    parser.add_argument(
        "--limit", type=float, metavar="SECONDS", help="end a report after so many; the lines it has are kept"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="entries of the reports' sizes, values as JSON"
    )
    parser.add_argument("--save", metavar="FILE", help="write the results as data: benchmarks/results/DATE_NAME.json")
    parser.add_argument(
        "--show",
        nargs="+",
        metavar="FILE",
        help="print the table of a file of results, measure nothing; a second file gives the columns of a GPU",
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help="write the tables of the newest results into README.md and pages in docs, measure nothing",
    )
    return parser.parse_args(arguments)


def update_readme() -> int:
    """Writes the tables into README.md, docs/cost.md, docs/associate.md and docs/gpu.md."""
    try:
        own_pages = (cost_table.IDENTITIES, cost_table.MANY_IDENTITIES, cost_table.IMAGES)
        for document in (cost_table.README, cost_table.PAGE, *own_pages):
            generated_pages.update(document, cost_table.RESULTS)
    except generated_pages.NothingToShow as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def read_changes(given: list[str], reports: list[Report]) -> dict[str, Any]:
    """What ``--set`` says.

    Raises:
        SystemExit: no chosen report has such an entry, or a value is not JSON.
    """
    changes: dict[str, Any] = {}
    for word in given:
        name, _, value = word.partition("=")
        known = sorted({entry for report in reports for entry in report.sizes["full"]})
        if name not in known:
            raise SystemExit(f"--set: {name!r} is no entry of a chosen report's size: {', '.join(known)}.")
        try:
            changes[name] = json.loads(value)
        except json.JSONDecodeError:
            raise SystemExit(f"--set {name}: {value!r} is not JSON.") from None
    return changes


def measure_report(report: Report, size: str, options: argparse.Namespace, changes: dict[str, Any]) -> dict[str, Any]:
    """A report's figures; those that are there if it fails or is ended by ``--limit``."""
    entry: dict[str, Any] = {"name": report.name, "title": report.title, "explained": report.explained}
    if changes:
        entry["explained"] += " Here " + ", ".join(f"{key} {value}" for key, value in changes.items()) + "."
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            command_of(report.name, "report", size, options, folder, changes),
            env=environment_of(options),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        try:
            code = child.wait(options.limit)
            ended = f" It failed (exit status {code}); what it had measured:" if code else ""
        except subprocess.TimeoutExpired:
            ended = f" Ended after {options.limit:.0f} s; what it had measured:"
        finally:
            end(child)
        measured = Path(folder, "measured.json")
        figures = json.loads(measured.read_text()) if measured.exists() else []
    entry["explained"] += ended
    return {**entry, "figures": figures, **({"passed": False} if ended else {})}


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends a process; first by SIGTERM, upon which it ends those that it has started."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            child.send_signal(sent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)


def measure_row(row: Row, size: str, options: argparse.Namespace) -> dict[str, Any]:
    """All ways of a row, and whether their results agree."""
    entry: dict[str, Any] = {
        "name": row.name,
        "title": row.title if size == "full" else f"{row.title} (small)",
        "usual_title": row.usual_title,
    }
    entry["ours"], own_result = measure(row, "ours", size, options)
    if row.bound is not None:
        entry["bound"], _ = measure(row, "bound", size, options)
    if options.ours_only:
        return {**entry, "equality": "not compared", "passed": True}
    compared = size
    if size == "full" and row.usual_size:
        compared = "usual"
        entry["compared_at"] = dict(row.usual_size)
        entry["usual_bytes"] = row.usual_bytes(**row.size("full"))
        entry["ours_compared"], own_result = measure(row, "ours", compared, options)
    entry["usual"], usual_result = measure(row, "usual", compared, options)
    difference = largest_difference(usual_result, own_result)
    entry["passed"] = difference <= row.tolerance
    entry["equality"] = "equal" if difference == 0 else f"within {difference:.1e}"
    if not entry["passed"]:
        entry["equality"] = f"DIFFER by {difference:.1e}"
    return entry


def measure(row: Row, way: str, size: str, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """One way of a row: what :mod:`benchmarks.measure` wrote, and the result."""
    import numpy as np

    with in_own_process(row.name, way, size, options) as folder, np.load(Path(folder, "result.npz")) as result:
        return json.loads(Path(folder, "measured.json").read_text()), dict(result)


@contextlib.contextmanager
def in_own_process(name: str, way: str, size: str, options: argparse.Namespace) -> Iterator[str]:
    """Runs :mod:`benchmarks.measure`; gives the folder into which it has written."""
    with tempfile.TemporaryDirectory() as folder:
        command = command_of(name, way, size, options, folder, {})
        subprocess.run(command, env=environment_of(options), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        yield folder


def command_of(
    name: str, way: str, size: str, options: argparse.Namespace, folder: str, changes: dict[str, Any]
) -> list[str]:
    """The command line of :mod:`benchmarks.measure`."""
    what = [name, way, size, options.device, folder, json.dumps(changes)]
    return [sys.executable, "-m", "benchmarks.measure", *what]


def environment_of(options: argparse.Namespace) -> dict[str, str]:
    """The environment of a process that measures."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(options.threads))
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **threads, "PYTHONPATH": path}


def largest_difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Over all named arrays, as a share of an array's largest value if that is above 1; infinite if shapes differ."""
    import numpy as np

    if set(first) != set(second) or any(first[name].shape != second[name].shape for name in first):
        return float("inf")
    differences = [
        np.abs(first[name].astype(np.float64) - second[name]).max(initial=0) / np.abs(first[name]).max(initial=1)
        for name in first
    ]
    return float(max(differences, default=0.0))


def save(results: dict[str, Any], options: argparse.Namespace) -> None:
    """As JSON, if ``--save`` says so."""
    if not options.save:
        return
    path = Path(options.save)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def end_on_signal() -> None:
    """Lets SIGTERM end this process as an error does, so that it ends those that it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


if __name__ == "__main__":
    end_on_signal()
    sys.exit(main())
