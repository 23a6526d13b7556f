"""The tables of suites in the documents are those of the committed results."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from ccafl_plugin.suites.generated_pages import NothingToShow, with_part
from ccafl_plugin.suites.suite_table import make_table
from tools import suite_tables as suites
from tools.suite_tables import FIGURES, RESULTS, documents, outcomes_of

DOCUMENTS = documents()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: f"{document.path.name}-{document.name}")
def test_documents_show_the_committed_results(document):
    text = document.path.read_text(encoding="utf-8")
    assert with_part(document, RESULTS) == text, f"{document.path} is behind: {document.command}"


def test_no_document_has_a_place_for_other_suites():
    shown = {(document.path.name, document.name) for document in DOCUMENTS}
    for name in ("README.md", "docs/results.md"):
        text = (suites.ROOT / name).read_text(encoding="utf-8")
        marked = re.findall(rf"<!-- (\w+): {re.escape(suites.COMMAND)} -->", text)
        assert {(name.rpartition("/")[2], suite) for suite in marked} <= shown


def test_a_suite_without_one_of_its_rows_is_not_shown(monkeypatch, tmp_path):
    kept = (suites.RESULTS / "synthetic_choices.json").read_text(encoding="utf-8").splitlines(keepends=True)
    monkeypatch.setattr(suites, "RESULTS", tmp_path)
    file = tmp_path / "synthetic_choices.json"
    for lines, expected in ((kept, ["synthetic_choices"]), ([kept[0], *kept[2:]], [])):
        file.write_text("".join(lines), encoding="utf-8")
        assert suites.whole_suites() == expected


def test_a_row_without_one_of_its_seeds_says_so(monkeypatch, tmp_path):
    lines = (suites.RESULTS / "synthetic_association.json").read_text(encoding="utf-8").splitlines(keepends=True)
    gone = next(i for i, line in enumerate(lines) if '"row": "margin"' in line and '"seed": 2' in line)
    (tmp_path / "synthetic_association.json").write_text("".join(lines[:gone] + lines[gone + 1 :]), encoding="utf-8")
    monkeypatch.setattr(suites, "RESULTS", tmp_path)
    assert suites.whole_suites() == ["synthetic_association"]
    table = make_table(outcomes_of("synthetic_association"))
    assert table.count("2 of 3") == 1 and table.count("3 of 3") == 3
    assert "- Not run yet: margin, seed 2" in table


def test_every_axis_has_its_figure():
    page = (suites.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\(figures/([\w-]+\.svg)\)", page))
    drawn = {document.name: outcomes_of(document.name) for document in DOCUMENTS}
    axes = [axis for outcomes in drawn.values() if suites.has_figures(outcomes) for axis in outcomes.suite.axes]
    assert len(shown) == len(axes)
    assert {file.name for file in FIGURES.glob("*.svg")} == shown


def test_a_suite_that_nobody_has_run(tmp_path):
    with pytest.raises(NothingToShow, match=r"synthetic_ablation\.yaml --results .*synthetic_ablation\.json makes it"):
        outcomes_of("synthetic_ablation", tmp_path)


def test_the_command_says_what_it_has_written(monkeypatch, tmp_path, capsys):
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    document = DOCUMENTS[0]._replace(path=page)
    page.write_text(f"<!-- {document.name}: {document.command} -->\n<!-- end of {document.name} -->\n")
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    monkeypatch.setattr(suites, "documents", lambda: [document])
    monkeypatch.setattr(suites, "outcomes_of", lambda name: outcomes_of_it)
    monkeypatch.setattr(suites, "FIGURES", tmp_path / "docs" / "figures")
    outcomes_of_it = SimpleNamespace(suite=SimpleNamespace(axes=(), seeds=(1,)))
    monkeypatch.setattr(suites, "update", lambda *_: None)
    assert suites.main(["--write"]) == 0
    assert capsys.readouterr().out == f"Written to {tmp_path}: docs/results.md\n"


def test_the_command_prints(capsys):
    assert suites.main([]) == 0
    printed = capsys.readouterr().out
    for document in DOCUMENTS:
        assert outcomes_of(document.name).suite.title in printed
