"""Suite files: what they mean, and every mistake as one line with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.suites.suite import Branch, Dataset
from ccafl_plugin.suites.suite_file import load_suite
from ccafl_plugin.utils.errors import CCAFLError
from tests.suites.small_suites import write_suite

ROWS = [{"name": "a"}, {"name": "b"}, {"name": "c"}]


def test_what_a_file_means(tmp_path: Path) -> None:
    suite = load_suite(
        write_suite(
            tmp_path,
            title="A title",
            seeds=[3, 4],
            overrides={"ccafl": {"amp": False}, "train.lr": 0.1},
            datasets=["market1501", {"sources": ["market1501", "dukemtmcreid"], "targets": "msmt17"}],
            trunks=[{"name": "trunk"}],
            rows=[
                {"name": "a", "overrides": {"train": {"lr": 0.2}}, "branch": {"from": "trunk", "epoch": 1}},
                {"name": "b", "published": {"Market-1501": [85.4, 93.5], "MSMT17": "-"}},
                {"name": "c", "compare": "a", "note": "why"},
                {"name": "d", "compare": "none"},
            ],
        )
    )
    assert (suite.name, suite.title, suite.seeds) == ("suite", "A title", (3, 4))
    assert [dataset.name for dataset in suite.datasets] == ["market1501", "market1501 + dukemtmcreid -> msmt17"]
    assert suite.datasets[0] == Dataset(("market1501",), ("market1501",))
    trunk, a, b, c, d = suite.rows
    assert trunk.is_trunk
    assert suite.shown == (a, b, c, d)
    assert a.overrides == {"ccafl.amp": False, "train.lr": 0.2}
    assert a.branch == Branch("trunk", 1)
    assert [row.compare for row in suite.rows] == ["", "", "a", "a", ""]
    assert b.published == {"Market-1501": "85.4 / 93.5", "MSMT17": "-"}
    assert c.note == "why"
    assert {row.config for row in suite.rows} == {tmp_path / "base.yaml"}


def test_axes(tmp_path: Path) -> None:
    suite = load_suite(
        write_suite(
            tmp_path,
            trunks=[{"name": "trunk"}],
            axes=[
                {"name": "lambda", "key": "ccafl.terms.icdl.weight_lambda", "values": [0, 0.5]},
                {
                    "name": "start",
                    "key": "ccafl.terms.ical.first_epoch",
                    "values": [1, 2],
                    "overrides": {"train.lr": 0.1},
                    "branch": {"from": "trunk", "epoch": "value"},
                    "note": "early hurts",
                },
            ],
        )
    )
    assert [axis.rows for axis in suite.axes] == [("lambda = 0", "lambda = 0.5"), ("start = 1", "start = 2")]
    rows = {row.name: row for row in suite.shown}
    assert rows["lambda = 0.5"].overrides == {"ccafl.terms.icdl.weight_lambda": 0.5}
    assert rows["start = 2"].overrides == {"train.lr": 0.1, "ccafl.terms.ical.first_epoch": 2}
    assert rows["start = 2"].branch == Branch("trunk", 2)
    assert not any(row.compare for row in suite.shown)


def test_quick_form(tmp_path: Path) -> None:
    file = write_suite(
        tmp_path,
        seeds=[1, 2, 3],
        overrides={"train.lr": 0.1, "train.seed": 5},
        rows=[{"name": "a"}, {"name": "b", "overrides": {"train.gamma": 0.5}}, {"name": "c"}],
        quick={"seeds": [7], "overrides": {"train.lr": 0.9}, "rows": ["b", "c"]},
    )
    assert len(load_suite(file).shown) == 3
    suite = load_suite(file, quick=True)
    assert (suite.name, suite.seeds) == ("suite-quick", (7,))
    assert [row.name for row in suite.shown] == ["b", "c"]
    assert suite.shown[0].overrides == {"train.lr": 0.9, "train.seed": 5, "train.gamma": 0.5}


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ({"rowz": ROWS}, "key: 'rowz' is not available. Did you mean 'rows'?"),
        ({}, "it has no rows"),
        ({"rows": 3.5}, "row 1: expected 'key: value' lines, found 3.5"),
        ({"rows": {"a": 1}}, "rows: expected a list"),
        ({"rows": [{"overrides": {}}]}, "row 1: it has no name"),
        ({"rows": [{"name": "a", "brunch": 1}]}, "row 'a': key: 'brunch' is not available. Did you mean 'branch'?"),
        ({"rows": [{"name": "a"}, {"name": "a"}]}, "two rows are named 'a'"),
        ({"rows": [{"name": "a", "config": "no.yaml"}]}, "row 'a': config: there is no file 'no.yaml'"),
        ({"rows": [{"name": "a", "branch": {"from": "b"}}]}, "row 'a': branch: expected {from: NAME, epoch: NUMBER}"),
        ({"rows": [{"name": "a", "branch": {"from": "b", "epoch": 1}}]}, "branch.from: 'b' is not available"),
        ({"rows": [{"name": "a", "compare": "b"}]}, "row 'a': compare: 'b' is not available"),
        ({"rows": ROWS, "seeds": 3}, "seeds: expected a list of whole numbers from 0, found 3"),
        ({"rows": ROWS, "seeds": [1, 1]}, "seeds: a seed occurs twice"),
        ({"rows": ROWS, "columns": ["score"]}, "columns: 'score' is not available. Did you mean 'scores'?"),
        ({"rows": ROWS, "datasets": [{"source": ["x"]}]}, "datasets: key: 'source' is not available"),
        ({"axes": [{"name": "x", "values": [1]}]}, "'key' is missing"),
    ],
)
def test_mistakes(tmp_path: Path, content: dict[str, Any], fragment: str) -> None:
    with pytest.raises(CCAFLError) as caught:
        load_suite(write_suite(tmp_path, **content))
    assert fragment in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'suite.yaml'}: ")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match="SUITE: could not read"):
        load_suite(tmp_path / "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(CCAFLError, match="not a YAML file"):
        load_suite(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(CCAFLError, match="expected 'key: value' lines"):
        load_suite(tmp_path / "list.yaml")
    with pytest.raises(CCAFLError, match="it has no section 'quick'"):
        load_suite(write_suite(tmp_path, rows=ROWS), quick=True)
    with pytest.raises(CCAFLError, match=r"quick\.rows: 'd' is not available"):
        load_suite(write_suite(tmp_path, rows=ROWS, quick={"rows": ["d"]}), quick=True)
