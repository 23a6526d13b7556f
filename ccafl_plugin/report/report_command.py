"""The command that writes a page about runs, for ``tools/report.py`` and ``ccafl-report``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ccafl_plugin.report import drawing
from ccafl_plugin.report.page import Page, rendered
from ccafl_plugin.report.recorded_run import RecordedRun, read_runs
from ccafl_plugin.report.sections import all_sections
from ccafl_plugin.utils.commands import exit_code
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import check_writable, write_text_whole, written_line
from ccafl_plugin.utils.provenance import package_version, version_line

NAME = "report.html"


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(description="Write one page about one run or several: curves, scores, pictures.")
    made.add_argument("--version", action="version", version=version_line())
    made.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run, its data.save_dir")
    made.add_argument("--root", default="", metavar="DIR", help="data root (default: the one of the configuration)")
    made.add_argument(
        "--out",
        default="",
        metavar="FILE",
        help=f"the page (default: {NAME} in the run's folder; of several runs: here)",
    )
    made.add_argument(
        "--identities", default="", metavar="FOLDER", help="that associate.py wrote (default: one in the run's folder)"
    )
    made.add_argument(
        "--no-model",
        dest="model",
        action="store_false",
        help="skip what needs data and model: whole CMC curves, rankings, embeddings, distances, maps, prompts",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about what is wrong."""
    return exit_code(run, parser().parse_args(argv))


def run(given: argparse.Namespace) -> None:
    """Does what the arguments say.

    Raises:
        CCAFLError: a folder does not exist, a package is missing, or the page can't be written.
    """
    drawing.require()
    folders = [Path(name).expanduser() for name in given.runs]
    runs = read_runs(folders)
    out = Path(given.out).expanduser() if given.out else (folders[0] if len(folders) == 1 else Path()) / NAME
    check_writable(out)
    sections = all_sections(runs, given.root, given.model, given.identities)
    for section in sections:
        for panel in section.panels:
            for line in panel.missing:
                print(f"{panel.run}: {line}" if len(runs) > 1 else line, file=sys.stderr)
    try:
        write_text_whole(out, rendered(page_of(runs, sections)))
    except OSError as error:
        raise CCAFLError(f"--out: {out} can't be written: {error.strerror or error}. Name another file.") from error
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {len(runs)} run{'s' * (len(runs) > 1)}")
    print(written_line(out.parent, [out.name]))


def page_of(runs: Sequence[RecordedRun], sections: Sequence) -> Page:
    """The page with its titles."""
    several = len(runs) > 1
    made = time.strftime("%Y-%m-%d %H:%M")
    return Page(
        title=f"Comparison of {len(runs)} runs" if several else runs[0].name,
        kind="Person re-identification · report",
        subtitle="; ".join(run.name for run in runs) if several else "",
        sections=[section for section in sections if not section.is_empty],
        several=several,
        footer=f"Written by ccafl_plugin {package_version()} on {made}. The page holds all of its figures.",
    )
