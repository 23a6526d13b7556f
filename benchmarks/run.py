"""The command: measures rows and reports in separate processes, saves the results, and prints the tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # also when called as benchmarks/run.py
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of this process and those it starts

from benchmarks import children, cost_table, machine, steps, table  # noqa: E402
from benchmarks.report import THREAD_VARIABLES, Report  # noqa: E402
from benchmarks.row import Row  # noqa: E402
from ccafl_plugin.suites import generated_pages  # noqa: E402
from ccafl_plugin.utils.files import write_text_whole  # noqa: E402

SECONDS_TO_END = 5.0
"""Of ``--within``, kept for ending the last report, saving and printing."""
MEMORY_FOR_FILES = 8 * 2**30
"""Bytes."""


def main(arguments: list[str] | None = None) -> int:
    """Parses, measures, prints."""
    options = parse(arguments)
    if options.show:
        print(table.make_table(*(json.loads(Path(file).read_text()) for file in options.show)))
        return 0
    if options.readme:
        return update_readme()
    started = time.monotonic()
    if not options.only or set(options.only) - {file.stem for file in (ROOT / "benchmarks" / "rows").glob("*.py")}:
        children.start_importing(environment_of(options))  # while this process imports the same
    from benchmarks.reports import REPORTS
    from benchmarks.rows import ROWS

    names = (*ROWS, *REPORTS)
    unknown = [name for name in options.only if name not in names]
    if unknown:
        print(f"--only: {unknown[0]!r} is not a row. Choose from: {', '.join(names)}.", file=sys.stderr)
        return 2
    chosen = options.only or names
    limits = read_limits(options.limit, [name for name in chosen if name in REPORTS])
    changes = read_changes(options.set, [report for name, report in REPORTS.items() if name in chosen])
    size = "quick" if options.quick else "full"
    results: dict[str, Any] = {
        "head": machine.describe(options.threads, options.device),
        "size": size,
        "rows": [],
        "reports": [],
    }
    try:
        for name, row in ROWS.items():
            if name in chosen and (row.on_gpu or options.device == "cpu"):
                print(f"{name} ...", file=sys.stderr, flush=True)
                results["rows"].append(measure_row(row, size, options))
                save(results, options)
        for report in (REPORTS[name] for name in chosen if name in REPORTS):
            if options.device in report.devices:
                print(f"{report.name} ...", file=sys.stderr, flush=True)
                own = {key: value for key, value in changes.items() if key in report.sizes[size]}
                left = float("inf") if options.within is None else options.within - (time.monotonic() - started)
                limit = min(limits.get(report.name, float("inf")), left - SECONDS_TO_END)
                measure_report(report, size, options, own, limit, results)
    finally:  # a signal, too
        save(results, options)
        print(table.make_table(results), flush=True)
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
        "--limit",
        nargs="+",
        default=[],
        metavar="SECONDS",
        help="end a report after so many; the lines it has are kept. NAME=SECONDS: for one report",
    )
    parser.add_argument("--within", type=float, metavar="SECONDS", help="end all after so many, in the same way")
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
    """Writes the tables into README.md and the pages in docs that show costs."""
    try:
        own_pages = (
            cost_table.IDENTITIES,
            cost_table.MANY_IDENTITIES,
            cost_table.IMAGES,
            cost_table.CAMERA_RERANK,
        )
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


def read_limits(given: list[str], reports: list[str]) -> dict[str, float]:
    """Seconds for each report that has a limit, from ``--limit``.

    Raises:
        SystemExit: it is no number, or no chosen report has such a name.
    """
    limits: dict[str, float] = {}
    for word in sorted(given, key=lambda word: "=" in word):  # the general one first
        name, _, value = word.rpartition("=")
        if name and name not in reports:
            raise SystemExit(f"--limit: {name!r} is not a chosen report: {', '.join(reports)}.")
        try:
            limits |= dict.fromkeys([name] if name else reports, float(value))
        except ValueError:
            raise SystemExit(f"--limit: {value!r} is no number of seconds.") from None
    return limits


def measure_report(
    report: Report,
    size: str,
    options: argparse.Namespace,
    changes: dict[str, Any],
    limit: float,
    results: dict[str, Any],
) -> None:
    """Appends a report's figures to ``results["reports"]``, and saves them whenever there is a new line.

    A report that fails, is ended after ``limit`` seconds, or by a signal to this process, keeps the lines that it has,
    and says in which step it was.
    """
    explained = report.explained
    if changes:
        explained += " Here " + ", ".join(f"{key} {value}" for key, value in changes.items()) + "."
    entry: dict[str, Any] = {"name": report.name, "title": report.title, "explained": explained, "figures": []}
    results["reports"].append(entry)
    if limit <= 0:
        entry |= {"explained": f"{explained} Not started: no time was left.", "passed": False}
        save(results, options)
        return
    with tempfile.TemporaryDirectory(dir=scratch(options), ignore_cleanup_errors=True) as folder:
        place, ended = Path(folder), " It was ended by a signal"
        began = time.monotonic()
        steps.note(place / steps.NAME, "import")
        arguments = [report.name, "report", size, options.device, folder, json.dumps(changes)]
        child = children.start(arguments, environment_of(options), place)
        try:
            while child.is_alive() and time.monotonic() - began < limit:
                child.join(min(0.2, limit))
                if collect(entry, place):
                    save(results, options)
            if child.is_alive():
                ended = f" Ended after {limit:.0f} s"
            else:
                ended = f" It failed (exit status {child.exitcode})" if child.exitcode else ""
        finally:
            done = steps.read(place / steps.NAME)
            entry["steps"] = [[step.name, round(step.seconds, 2)] for step in done]
            if ended:
                entry["explained"] += f"{ended}, {steps.where(done)}. What it had measured:"
                entry["passed"] = False
            save(results, options)  # at once: whoever ends this process may not wait
            children.end(child)
            collect(entry, place)
            save(results, options)


def collect(entry: dict[str, Any], folder: Path) -> bool:
    """Reads the lines that a report has written; whether there are new ones."""
    measured = folder / "measured.json"
    before = len(entry["figures"])
    if measured.exists():
        entry["figures"] = json.loads(measured.read_text())
    return len(entry["figures"]) > before


def scratch(options: argparse.Namespace) -> str | None:
    """Folder for temporary files; in memory on a machine with a GPU, whose disk may be slow when it is new."""
    memory = Path("/dev/shm")
    if options.device == "cpu" or "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return None
    return str(memory) if shutil.disk_usage(memory).free > MEMORY_FOR_FILES else None


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
        command = [sys.executable, "-m", "benchmarks.measure", name, way, size, options.device, folder, "{}"]
        subprocess.run(command, env=environment_of(options), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        yield folder


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
    write_text_whole(path, json.dumps(results, indent=1) + "\n")


def end_on_signal() -> None:
    """Lets SIGTERM end this process as an error does, so that it ends those that it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


if __name__ == "__main__":
    end_on_signal()
    sys.exit(main())
