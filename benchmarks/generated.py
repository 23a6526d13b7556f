"""Parts of documents that are made from results: between two marker lines, which stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


FOR_A_GPU = ("stage2", "stage2_memory", "loading")
"""Reports that show on a CPU only that everything runs."""


class NothingToShow(Exception):
    """There are no results, or the document has no place for them."""


class Document(NamedTuple):
    """A document with a part that is made from results."""

    path: Path
    name: str  # of the part, in its markers
    command: str  # that writes the part
    make: Callable[[Path], str]  # the part, from the folder of results


def newest(folder: Path, gpu: bool) -> dict[str, Any] | None:
    """The results with the latest date among those at full size, measured on a GPU or without one."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    found = [results for results in found if results["size"] == "full" and (results["head"]["GPU"] != "none") == gpu]
    return max(found, key=lambda results: results["head"]["date"], default=None)


def readme_table(folder: Path) -> str:
    """The table of the newest results, with a GPU's columns where there are results of one.

    Reports that are made for a GPU are shown of one only; ``python -m benchmarks --show FILE`` prints all.

    Raises:
        NothingToShow: no results.
    """
    results, on_gpu = newest(folder, gpu=False), newest(folder, gpu=True)
    if results is None:
        raise NothingToShow(f"no results at full size in {folder}: python -m benchmarks --save FILE makes some.")
    shown = [report for report in results["reports"] if report["name"] not in FOR_A_GPU]
    return table.make_table({**results, "reports": shown}, *([] if on_gpu is None else [on_gpu]))


def with_part(document: Document, folder: Path = RESULTS) -> str:
    """The document's text with its part made anew.

    Raises:
        NothingToShow: no results, or no markers.
    """
    begin, end = f"<!-- {document.name}: {document.command} -->", f"<!-- end of {document.name} -->"
    text = document.path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise NothingToShow(f"{document.path} needs the lines '{begin}' and '{end}', once each and in this order.")
    return f"{text.partition(begin)[0]}{begin}\n\n{document.make(folder)}\n\n{end}{text.partition(end)[2]}"


def update(document: Document, folder: Path = RESULTS) -> None:
    """Writes the document with its part made anew.

    Raises:
        NothingToShow: no results, or no markers.
    """
    document.path.write_text(with_part(document, folder), encoding="utf-8")


README = Document(ROOT / "README.md", "benchmarks", "python -m benchmarks --readme", readme_table)
