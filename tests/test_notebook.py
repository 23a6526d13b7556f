"""The notebook holds the outputs of a whole run; .ci/run executes it."""

from __future__ import annotations

import json
from typing import Any

from tests.pages import REPOSITORY

FILE = REPOSITORY / "notebooks" / "torchreid_with_ccafl.ipynb"
LARGEST = 1_000_000
"""Bytes of the file, pictures included."""
CELLS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def printed() -> str:
    """Everything that the stored run has printed."""
    return "".join("".join(output.get("text", [])) for cell in CODE for output in cell["outputs"])


def test_it_was_run_from_the_first_cell_to_the_last() -> None:
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not [output for cell in CODE for output in cell["outputs"] if output["output_type"] == "error"]
    assert FILE.stat().st_size < LARGEST


def test_what_its_run_printed() -> None:
    text = printed()
    for line in ("=> Loaded SyntheticPersons", "=> Stage 1 took", "pseudo identities over", "epoch: [6/6][10/10]"):
        assert line in text, line
    assert text.count("mAP: ") == 3
    assert "Warning" not in text


def test_pictures() -> None:
    pictures = [output for cell in CODE for output in cell["outputs"] if "image/png" in output.get("data", {})]
    assert len(pictures) == 4


def test_no_path_of_the_machine_that_ran_it() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert not [folder for folder in ("/root/", "/home/", "/work/", "/Users/") if folder in text]
