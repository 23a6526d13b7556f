"""The benchmark of search runs, and the page shows what was measured last."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import search, search_server

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs ccafl_plugin[search]")
def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.json"
    sizes = ["--images", "400", "--dim", "8", "--queries", "5", "--threads", "1", "--milvus-images", "0"]
    assert search.main([*sizes, "--save", str(file)]) == 0
    printed = capsys.readouterr().out
    results = json.loads(file.read_text())
    assert results["size"] == "search"  # so that the tables of costs leave it out
    exact, faiss = results["rows"]
    assert (
        exact["recall@10"] == faiss["recall@10"] == faiss["filtered recall@10"] == 1.0
    )  # few images: all are compared
    assert faiss["built"]["cells"] == 0 and faiss["build s"] > 0
    assert search.main(["--show", str(file)]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(("kind", "show"), [("search", search.tables), ("search_server", search_server.table)])
def test_the_page_shows_the_newest_results(kind: str, show: Callable[[dict[str, Any]], str]) -> None:
    newest = max((ROOT / "benchmarks" / "results").glob(f"*_{kind}.json"))
    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    assert show(json.loads(newest.read_text())) in text
