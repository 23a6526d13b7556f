"""Parts of documents that are made from results."""

from __future__ import annotations

import json

import pytest

from benchmarks import cost_table
from benchmarks.cost_table import (
    IDENTITIES,
    IMAGES,
    MANY_IDENTITIES,
    PAGE,
    README,
    RESULTS,
    newest,
    page_table,
    readme_table,
)
from benchmarks.run import main
from ccafl_plugin.suites.generated_pages import Document, NothingToShow, update, with_part
from tests.benchmarks.test_run import measured

BEGIN, END = f"<!-- benchmarks: {README.command} -->", "<!-- end of benchmarks -->"


def results(date, title="work", gpu="none", size="full"):
    row = {
        "name": cost_table.IN_README[0],
        "title": title,
        "usual_title": "plain",
        "ours": measured(1.0),
        "usual": measured(4.0),
        "equality": "equal",
        "passed": True,
    }
    return {"head": {"date": date, "GPU": gpu}, "size": size, "rows": [row], "reports": []}


@pytest.fixture
def folder(tmp_path):
    for name, found in {
        "1": results("2025-01-02 10:00 UTC", "older"),
        "2": results("2025-01-02 11:00 UTC", "newer"),
        "3": results("2025-01-03 11:00 UTC", "quick", size="quick"),
        "4": results("2025-01-01 11:00 UTC", "on a GPU", gpu="H200"),
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    return tmp_path


def test_the_newest_at_full_size(folder):
    assert newest(folder, gpu=False)["rows"][0]["title"] == "newer"
    assert newest(folder, gpu=True)["rows"][0]["title"] == "on a GPU"
    assert newest(folder / "none", gpu=True) is None
    text = page_table(folder)
    assert "| newer " in text
    assert "older" not in text
    assert "GPU columns: date 2025-01-01 11:00 UTC, GPU H200" in text
    (folder / "4.json").unlink()
    assert "GPU ratio" not in page_table(folder)


def test_the_short_table(folder):
    """Few columns of chosen rows, of the newest results on a CPU."""
    content = json.loads((folder / "2.json").read_text())
    content["head"] = {**content["head"], "cores": 2, "numpy": "1"}
    last = {**content["rows"][0], "name": cost_table.IN_README[-1], "title": "last", "usual": measured(0.5, 7)}
    other = {**content["rows"][0], "name": "other", "title": "not chosen"}
    content["rows"] = [last, other, *content["rows"]]
    (folder / "2.json").write_text(json.dumps(content))
    head, _, *lines = readme_table(folder).splitlines()
    assert head == "date 2025-01-02 11:00 UTC, cores 2, GPU none"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["work", "usual way", "usual", "here", "times faster"]
    assert cells[2:] == [
        ["newer", "plain", "4.00 s, 5 MB", "1.00 s, 5 MB", "4.0"],
        ["last", "plain", "0.50 s, 7 MB", "1.00 s, 5 MB", "0.5"],
    ]


def test_reports_made_for_a_gpu_are_shown_of_one_only(folder):
    for name, title in (("1", "cpu"), ("4", "gpu")):
        content = results("2025-02-01 10:00 UTC", gpu="none" if title == "cpu" else "H200")
        content["reports"] = [
            {"name": report, "title": f"{report} of a {title}", "explained": "", "figures": [{"a": 1}]}
            for report in ("imports", *cost_table.FOR_A_GPU)
        ]
        (folder / f"{name}.json").write_text(json.dumps(content))
    text = page_table(folder)
    assert "imports of a cpu" in text and "loading of a gpu" in text
    assert not [name for name in cost_table.FOR_A_GPU if f"{name} of a cpu" in text]


def test_only_what_stands_between_the_markers_changes(folder, monkeypatch, capsys):
    path = folder / "document.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    document = README._replace(path=path)
    update(document, folder)
    text = path.read_text()
    assert text == f"before\n{BEGIN}\n\n{readme_table(folder)}\n\n{END}\nafter\n"
    assert with_part(document, folder) == text
    monkeypatch.setattr(cost_table, "README", document)
    monkeypatch.setattr(cost_table, "PAGE", document)
    monkeypatch.setattr(cost_table, "IDENTITIES", document)
    monkeypatch.setattr(cost_table, "IMAGES", document)
    monkeypatch.setattr(cost_table, "MANY_IDENTITIES", document)
    for broken in ("", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"):
        path.write_text(broken)
        assert main(["--readme"]) == 2
        assert f"needs the lines '{BEGIN}' and '{END}'" in capsys.readouterr().err
        assert path.read_text() == broken


def test_nothing_to_show(tmp_path):
    path = tmp_path / "document.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    with pytest.raises(NothingToShow, match="no results at full size"):
        with_part(Document(path, "benchmarks", README.command, readme_table), tmp_path)


def test_loading_is_shown_once_it_is_measured(folder, tmp_path):
    assert cost_table.images_table(tmp_path).startswith("Not measured yet: `python -m benchmarks --only images --save ")
    (tmp_path / "images").symlink_to(folder)
    text = cost_table.images_table(tmp_path)
    assert "| newer " in text and "| on a GPU " in text and "older" not in text


PAGES = [README, PAGE, IDENTITIES, MANY_IDENTITIES, IMAGES]


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.make.__name__)
def test_pages_show_the_newest_results(document):
    """As long as there are no results they have no place for them."""
    text = document.path.read_text(encoding="utf-8")
    if newest(RESULTS, gpu=False) is None:
        assert BEGIN not in text
    else:
        assert with_part(document, RESULTS) == text, f"{document.path} is behind the newest results: {document.command}"
