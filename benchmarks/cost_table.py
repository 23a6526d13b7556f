"""The tables of costs on several pages: the newest committed measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import table
from ccafl_plugin.suites.generated_pages import Document, NothingToShow

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FOR_A_GPU = ("stage2", "stage2_memory", "loading")
"""Reports that are only a smoke test on a CPU."""


def newest(folder: Path, gpu: bool) -> dict[str, Any] | None:
    """The latest results at full size, measured with or without a GPU."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    found = [results for results in found if results["size"] == "full" and (results["head"]["GPU"] != "none") == gpu]
    return max(found, key=lambda results: results["head"]["date"], default=None)


IN_README = ("evaluate_rank", "rerank", "nearest_pairs", "attention_pooling", "icdl", "ical")
"""Rows of the README's table."""


def readme_table(folder: Path) -> str:
    """Few rows of the newest results without a GPU.

    Raises:
        NothingToShow: no results.
    """
    return table.make_short_table(_measured(folder), IN_README)


def page_table(folder: Path) -> str:
    """The table of the newest results, with a GPU's columns where there are results of one.

    Reports that are made for a GPU are shown of one only; ``python -m benchmarks --show FILE`` prints all.

    Raises:
        NothingToShow: no results.
    """
    results, on_gpu = _measured(folder), newest(folder, gpu=True)
    shown = [report for report in results["reports"] if report["name"] not in FOR_A_GPU]
    return table.make_table({**results, "reports": shown}, *([] if on_gpu is None else [on_gpu]))


def identities_table(folder: Path) -> str:
    """The newest results in the folder's folder ``identities``, which have this report only.

    Raises:
        NothingToShow: no results.
    """
    return table.make_table(_measured(folder / "identities"))


def images_table(folder: Path) -> str:
    """The newest results in the folder's folder ``images``, which have this report only; a sentence if there are none.

    Each machine is shown: the newest results without a GPU, and the newest with one.
    """
    found = [newest(folder / "images", gpu) for gpu in (False, True)]
    tables = [table.make_table(results) for results in found if results is not None]
    return "\n\n".join(tables) or f"Not measured yet: `{IMAGES_COMMAND}`."


def many_identities_table(folder: Path) -> str:
    """The same of the folder ``many_identities``.

    Raises:
        NothingToShow: no results.
    """
    return table.make_table(_measured(folder / "many_identities"))


def camera_rerank_table(folder: Path) -> str:
    """The same of the folder ``camera_rerank``.

    Raises:
        NothingToShow: no results.
    """
    return table.make_table(_measured(folder / "camera_rerank"))


def _measured(folder: Path) -> dict[str, Any]:
    results = newest(folder, gpu=False)
    if results is None:
        raise NothingToShow(f"no results at full size in {folder}. Create some: python -m benchmarks --save FILE.")
    return results


COMMAND = "python -m benchmarks --readme"
IMAGES_COMMAND = "python -m benchmarks --only images --save benchmarks/results/images/DATE_NAME.json"
README = Document(ROOT / "README.md", "benchmarks", COMMAND, readme_table)
IDENTITIES = Document(ROOT / "docs" / "associate.md", "benchmarks", COMMAND, identities_table)
IMAGES = Document(ROOT / "docs" / "gpu.md", "benchmarks", COMMAND, images_table)
MANY_IDENTITIES = Document(ROOT / "docs" / "associate.md", "many tracks", COMMAND, many_identities_table)
CAMERA_RERANK = Document(ROOT / "docs" / "cameras.md", "benchmarks", COMMAND, camera_rerank_table)
PAGE = Document(ROOT / "docs" / "cost.md", "benchmarks", COMMAND, page_table)
