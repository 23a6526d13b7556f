"""The command line of ``ccafl-suite`` and ``tools/suite.py``."""

from __future__ import annotations

import argparse
import csv
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.suites.columns import COLUMNS
from ccafl_plugin.suites.figures import draw_figures
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.parsed_logs import read_logs
from ccafl_plugin.suites.processes import launch
from ccafl_plugin.suites.published_rows import FILE as PUBLISHED
from ccafl_plugin.suites.published_rows import with_published
from ccafl_plugin.suites.results_file import ResultsFile
from ccafl_plugin.suites.run_plan import make_plan
from ccafl_plugin.suites.runner import Launcher, Runner
from ccafl_plugin.suites.suite import Suite
from ccafl_plugin.suites.suite_file import load_suite
from ccafl_plugin.suites.suite_table import FORMATS, make_table
from ccafl_plugin.utils.commands import print_error
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import FolderWatch, written_line
from ccafl_plugin.utils.provenance import version_line


def main(argv: Sequence[str] | None = None, start: Launcher = launch) -> int:
    """Runs the missing runs of a suite and prints its table.

    Args:
        argv: arguments; None: those of the process.
        start: function that starts a training process.

    Returns:
        0; 1 if a run failed; 2 for an invalid suite or argument, found before anything runs; 130 after Ctrl-C.
    """
    given = parser().parse_args(argv)
    try:
        if given.parse:
            outcomes = read_logs(given.parse)
            outcomes = with_published(outcomes) if given.published else outcomes
            print(make_table(outcomes, given.format, given.columns), end="")
            return 0
        if given.suite is None:
            raise CCAFLError(f"SUITE.yaml: name a suite ({', '.join(shipped_suites())}), or a folder with --parse.")
        suite = load_suite(find_suite(given.suite), quick=given.quick)
        suite = with_seeds(suite, given.seeds) if given.seeds else suite
        out = Path(given.out or f"log/suites/{suite.name}")
        plan = make_plan(suite, out, given.root, given.opts, check_files=not given.table)
        file = ResultsFile(given.results) if given.results else None
        runner = Runner(plan, jobs=given.jobs, file=file, start=start)
        make_table(Outcomes.of_plan(suite, plan, file), given.format, given.columns)  # checks the names before the runs
        if not given.table:
            check_out(out)
    except CCAFLError as error:
        print_error(error)
        return 2
    failures: dict[str, str] = {}
    code = 0
    watch = FolderWatch(out)
    if not given.table:
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            failures = runner.run()
        except (CCAFLError, OSError) as error:
            print_error(error)
            return 1
        except KeyboardInterrupt:
            print("interrupted; run the same command to continue", file=sys.stderr)
            code = 130
        finally:
            signal.signal(signal.SIGTERM, before)
    try:
        report(Outcomes.of_plan(suite, plan, file), out, given)
    except OSError as error:
        print(f"error: --out: {str(error.filename or out)!r} can't be written: {error.strerror}.", file=sys.stderr)
        return 1
    print(written_line(out, watch.written()), file=sys.stderr)
    if file is not None and not given.table:
        print(written_line(file.file.parent, [file.file.name]), file=sys.stderr)
    return code or int(bool(failures))


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(
        prog="ccafl-suite",
        description="Runs the missing runs of a suite of training runs and prints its table.",
        epilog=f"Suites that come with the package: {', '.join(shipped_suites())}. More in the repository's "
        "docs/suites.md.",
    )
    made.add_argument("--version", action="version", version=version_line())
    made.add_argument("suite", nargs="?", metavar="SUITE.yaml", help="a file, or the name of one in configs/suites")
    made.add_argument("--quick", action="store_true", help="use the suite's quick form")
    made.add_argument("--jobs", type=int, default=1, metavar="N", help="number of processes at once (default: 1)")
    made.add_argument("--table", action="store_true", help="print the table of finished runs; run nothing")
    made.add_argument("--parse", metavar="LOGDIR", help="print a table of all runs below a folder, also torchreid's")
    made.add_argument("--published", action="store_true", help="add marked rows of published scores")
    made.add_argument("--format", default="github", metavar="FORMAT", help=f"{', '.join(FORMATS)} (default: github)")
    made.add_argument("--columns", nargs="+", metavar="GROUP", help=f"groups of columns: {', '.join(COLUMNS)}")
    made.add_argument("--seeds", nargs="+", type=int, metavar="N", help="only these of the suite's seeds")
    made.add_argument("--results", metavar="FILE", help="JSON file that keeps the numbers of finished runs")
    made.add_argument("--out", metavar="DIR", help="folder of all runs (default: log/suites/SUITE)")
    made.add_argument("--root", metavar="DIR", help="data root (default: the root in the configurations)")
    made.add_argument(
        "--set", dest="opts", nargs="+", default=[], metavar="KEY VALUE", help="change a setting in all rows"
    )
    return made


def check_out(out: Path) -> None:
    """Finds out before any run whether files can be written into the folder of all runs.

    Raises:
        CCAFLError: they cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out) as file:
            file.write(b"0" * 4096)  # a full disk takes the name of a file, but no content
            file.flush()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CCAFLError(f"--out: {str(out)!r} can't be written: {reason.lower()}. Name another folder.") from error


def find_suite(name: str) -> Path:
    """The file with this name: in the working folder, or among the suites of the package."""
    shipped = configs_folder() / "suites" / Path(name).name
    return shipped if not Path(name).exists() and shipped.exists() else Path(name)


def shipped_suites() -> list[str]:
    """Names of the suites of the package, without the list of published scores."""
    files = sorted((configs_folder() / "suites").glob("*.yaml"))
    return [file.name for file in files if f"suites/{file.name}" != PUBLISHED]


def with_seeds(suite: Suite, seeds: Sequence[int]) -> Suite:
    """The suite with only some of its seeds.

    Raises:
        CCAFLError: the suite does not have a seed.
    """
    for seed in seeds:
        if seed not in suite.seeds:
            raise CCAFLError(f"--seeds: {suite.name} has no seed {seed}; it has {', '.join(map(str, suite.seeds))}.")
    return replace(suite, seeds=tuple(seed for seed in suite.seeds if seed in seeds))


def report(outcomes: Outcomes, out: Path, given: Any) -> None:
    """Prints the table, and writes ``runs.csv`` (one line per run) and the figures into the suite's folder."""
    shown = with_published(outcomes) if given.published else outcomes
    print(make_table(shown, given.format, given.columns), end="")
    if outcomes.found:
        out.mkdir(parents=True, exist_ok=True)
        write_runs(outcomes, out / "runs.csv")
        draw_figures(outcomes, out / "figures")


def write_runs(outcomes: Outcomes, file: Path) -> None:
    """Writes one line per row, dataset, seed and target: the data of tables and figures."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        ranks = ["mAP", "rank1", "rank5", "rank10", "rank20"]
        association = [f"{when}_{name}" for when in ("first", "last") for name in ("precision", "recall")]
        writer.writerow(["row", "dataset", "seed", "target", *ranks, *association, "camera_probe", "camera_chance",
                         "training_seconds", "config_digest", "code_digest"])  # fmt: skip
        for (row, dataset, seed), content in outcomes.measured.items():
            steps = content["association"]
            pairs = [step[name] for step in (steps[:1] + steps[-1:]) for name in ("precision", "recall")]
            for target, scores in content["scores"].items():
                probe = content["camera_probe"].get(target, {})
                writer.writerow([row, dataset, seed, target, *(scores.get(name, "") for name in ranks),
                                 *(pairs or [""] * 4), probe.get("accuracy", ""), probe.get("chance", ""),
                                 content["training_seconds"], content["config_digest"],
                                 content["code_digest"]])  # fmt: skip


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
