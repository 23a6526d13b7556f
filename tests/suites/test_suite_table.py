"""Tables, figures and the data behind them, from results that are written by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.suites.figures import draw_figures
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.run_plan import Plan
from ccafl_plugin.suites.runner import Runner
from ccafl_plugin.suites.suite_command import write_runs
from ccafl_plugin.suites.suite_table import FORMATS, make_table
from ccafl_plugin.utils.errors import CCAFLError
from tests.suites.small_suites import NO_ICAL, Pretender, planned

ROWS = [
    {"name": "without", "overrides": NO_ICAL, "published": {"Market-1501": [85.4, 93.5]}},
    {"name": "with", "note": "a note"},
]
SCORES = {("without", 1): 0.50, ("without", 2): 0.52, ("with", 1): 0.53, ("with", 2): 0.56}


def measured(tmp_path: Path, start: Pretender | None = None, **content: Any) -> tuple[Outcomes, Plan]:
    """Outcomes of a suite whose runs have been pretended."""
    suite, plan = planned(tmp_path, **{"title": "T", "seeds": [1, 2], "rows": ROWS, **content})
    start = start or Pretender(lambda row, seed: SCORES[row, seed])
    Runner(plan, start=start, report=lambda line: None, pause=0).run()
    return Outcomes.of_plan(suite, plan), plan


def cells(outcomes: Outcomes, *columns: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(make_table(outcomes, "csv", columns or None))))


def test_scores_and_differences(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    assert cells(outcomes, "scores", "difference") == [
        ["", "mAP", "Rank-1", "mAP to the row above [95 %]"],
        ["without", "51.0 ± 1.4", "61.0 ± 1.4", ""],
        ["with", "54.5 ± 2.1", "64.5 ± 2.1", "+3.5 [-2.9, +9.9]"],  # 3 and 4: 3.5 ± 12.706 * 0.7071 / sqrt(2)
    ]


def test_every_group_of_columns(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    assert cells(outcomes, "cmc", "model_zoo", "association", "time", "published") == [
        ["", "Rank-5", "Rank-1 (mAP)", "Pairs P / R, first", "Pairs P / R, last", "Training (min)",
         "Market-1501 (published)"],
        ["without", "71.0 ± 1.4", "61.0 ± 1.4 (51.0 ± 1.4)", "25 / 50", "75 / 100", "1.5", "85.4 / 93.5"],
        ["with", "74.5 ± 2.1", "64.5 ± 2.1 (54.5 ± 2.1)", "25 / 50", "75 / 100", "1.5", ""],
    ]  # fmt: skip


def test_memory_where_results_say_it(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    for seed, peak in ((1, 1.5e9), (2, 1.7e9)):
        outcomes.found["with", "", seed]["peak_memory"] = peak
    assert cells(outcomes, "time") == [
        ["", "Training (min)", "Memory (GB)"],
        ["without", "1.5", ""],
        ["with", "1.5", "1.6"],
    ]


def test_what_the_model_zoo_says_of_a_model(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    assert cells(outcomes, "model")[:2] == [
        ["", "Model", "# Param (10^6)", "GFLOPs", "Loss", "Input", "Transforms", "Distance"],
        ["without", "clip_tiny", "0.6", "0.02", "ccafl", "(64, 32)", "random_flip, pad_crop", "cosine"],
    ]


def test_camera_probe(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    for seed in (1, 2):
        probe = {"market1501": {"accuracy": 0.5 + seed / 100, "chance": 0.2}}
        outcomes.found["with", "", seed]["camera_probe"] = probe
    assert cells(outcomes, "camera") == [
        ["", "Camera probe (chance)"],
        ["without", ""],
        ["with", "51.5 ± 0.7 (20.0)"],
    ]
    for seed in (1, 2):  # of features that were normalised for the test
        outcomes.found["with", "", seed]["camera_probe"]["market1501"]["as_tested"] = 0.3
    assert cells(outcomes, "camera")[2] == ["with", "30.0 ± 0.0 (20.0)"]


def test_head_and_foot(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path, notes=["A last line."], published_source="a paper, table IV")
    text = make_table(outcomes)
    assert text == (
        "**T**\n"
        "\n"
        "Seeds 1, 2; mean ± standard deviation; scores in % after the last epoch.\n"
        "Training: market1501, 40 images of 5 people in 3 cameras (15 proxies), 3 epochs of 200 batches of 32 images.\n"
        "Test: 6 queries and 12 gallery images of market1501/v15.\n"
        "Measured with ccafl_plugin 0.1.0, torch 2.15.0, torchreid 0.2.5, python 3.11.4, code c0de.\n"
        "On a processor, 2 cores, 1 threads per run.\n"
        "\n"
        "|         |        mAP |     Rank-1 |   mAP to the row above [95 %] |   Market-1501 (published) |\n"
        "|:--------|-----------:|-----------:|------------------------------:|--------------------------:|\n"
        "| without | 51.0 ± 1.4 | 61.0 ± 1.4 |                               |               85.4 / 93.5 |\n"
        "| with    | 54.5 ± 2.1 | 64.5 ± 2.1 |             +3.5 [-2.9, +9.9] |                           |\n"
        "\n"
        "- with: a note\n"
        "- (published): not measured here; a paper, table IV.\n"
        "- A last line.\n"
    )


def test_training_sets_of_several_sizes_are_one_line(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    for number, content in enumerate(outcomes.found.values()):
        content["training_set"] = {"images": 40 + number % 3, "people": 6, "cameras": 3, "proxies": 9 + number % 2}
    outcomes.found["with", "", 2]["sources"] = ["cuhk03", "msmt17"]
    (line,) = (line for line in make_table(outcomes).splitlines() if line.startswith("Training: "))
    assert line.startswith("Training: market1501, 40 to 42 images of 6 people in 3 cameras (9 to 10 proxies), ")
    assert " or cuhk03 + msmt17, 40 images of 6 people in 3 cameras (10 proxies), " in line


def test_missing_and_failed_runs_are_named(tmp_path: Path) -> None:
    start = Pretender(lambda row, seed: SCORES[row, seed], fails=["with"])
    outcomes, plan = measured(tmp_path, start)
    text = make_table(outcomes)
    assert "- FAILED: with, seed 1: error: no luck" in text
    assert cells(outcomes, "scores") == [
        ["", "Seeds", "mAP", "Rank-1"],
        ["without", "2 of 2", "51.0 ± 1.4", "61.0 ± 1.4"],
        ["with", "0 of 2", "", ""],
    ]
    for run in plan.runs:
        (run.folder / "run.json").unlink()
    nothing = Outcomes.of_plan(outcomes.suite, plan)
    assert "Nothing measured yet." in make_table(nothing)
    assert "Not run yet: all rows with seeds 1, 2" in make_table(nothing)


def test_seeds_that_one_row_lacks(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    del outcomes.found["with", "", 2]
    assert cells(outcomes, "scores", "difference") == [
        ["", "Seeds", "mAP", "Rank-1", "mAP to the row above [95 %]"],
        ["without", "2 of 2", "51.0 ± 1.4", "61.0 ± 1.4", ""],
        ["with", "1 of 2", "53.0", "63.0", "+3.0"],
    ]


def test_code_that_has_moved_on_is_said(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    assert "versions" not in make_table(outcomes)
    outcomes.found["with", "", 2]["code_digest"] = "beef"
    assert "- Measured with code c0de, but with beef for seed 2 of 'with'.\n" in make_table(outcomes)
    outcomes.found["without", "", 2]["code_digest"] = "beef"
    outcomes.found["with", "", 1]["code_digest"] = "beef"
    line = "- Measured with code beef, but with c0de for seed 1 of 'without'.\n"
    assert line in make_table(outcomes)
    outcomes.found["with", "", 2]["earlier_code"] = ["c0de"]
    line = "- Measured with code beef, but with c0de for seed 1 of 'without'; c0de for seed 2 of 'with'.\n"
    assert line in make_table(outcomes)
    del outcomes.found["with", "", 2]["earlier_code"]
    for number, content in enumerate(outcomes.found.values()):
        content["code_digest"] = f"code{number}"
    assert "Rows were measured with 4 different versions of the code." in make_table(outcomes)
    assert "code0" not in make_table(outcomes)


def test_rows_that_leave_published_settings_are_marked(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    followed = {"published": "Tan", "differences": []}
    outcomes.found["without", "", 1]["effective_settings"] = outcomes.found["without", "", 2]["effective_settings"] = (
        followed
    )
    assert "†" not in make_table(outcomes)
    outcomes.found["with", "", 1]["effective_settings"] = {
        "published": "Tan",
        "differences": ["train.lr 1 instead of 2"],
    }
    outcomes.found["with", "", 2]["effective_settings"] = {
        "published": "Tan",
        "differences": ["train.lr 1 instead of 2", "other"],
    }
    assert [row[0] for row in cells(outcomes, "scores")] == ["", "without", "with †"]
    line = "† with: differs from the published settings (Tan): train.lr 1 instead of 2, other"
    assert f"\n- {line}\n" in make_table(outcomes)
    assert f"\n% {line}\n" in make_table(outcomes, "latex")
    other = {"published": "Gong", "differences": ["precision float32 instead of mixed"]}
    outcomes.found["with", "", 2]["effective_settings"] = other
    assert (
        "† with: differs from the published settings (Tan): train.lr 1 instead of 2; differs from the published "
        "settings (Gong): precision float32 instead of mixed"
    ) in make_table(outcomes)


def test_several_datasets(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path, datasets=["market1501", {"sources": ["dukemtmcreid"], "targets": ["market1501"]}])
    assert cells(outcomes, "scores")[0] == [
        "",
        "market1501 -> market1501: mAP",
        "market1501 -> market1501: Rank-1",
        "dukemtmcreid -> market1501: mAP",
        "dukemtmcreid -> market1501: Rank-1",
    ]
    assert cells(outcomes, "scores")[2][1:] == ["54.5 ± 2.1", "64.5 ± 2.1"] * 2


def test_a_row_that_names_what_it_is_compared_with(tmp_path: Path) -> None:
    rows = [*ROWS, {"name": "other", "overrides": {"train.lr": 0.5}, "compare": "without"}]
    start = Pretender(lambda row, seed: SCORES.get((row, seed), 0.6))
    outcomes, _ = measured(tmp_path, start, rows=rows)
    assert cells(outcomes, "difference")[3][1].startswith("+9.0 [")
    assert "- other: the difference is to 'without'." in make_table(outcomes)


@pytest.mark.parametrize("form", FORMATS)
def test_formats(tmp_path: Path, form: str) -> None:
    outcomes, _ = measured(tmp_path)
    text = make_table(outcomes, form)
    assert "54.5 ± 2.1" in text
    assert ("\\begin{tabular}" in text) == (form == "latex")
    if form == "latex":
        assert text.startswith("% T\n")


def test_wrong_names(tmp_path: Path) -> None:
    outcomes, _ = measured(tmp_path)
    with pytest.raises(CCAFLError, match=r"--format: 'githup' is not available\. Did you mean 'github'"):
        make_table(outcomes, "githup")
    with pytest.raises(CCAFLError, match=r"--columns: 'score' is not available\. Did you mean 'scores'"):
        make_table(outcomes, columns=["score"])


def test_figures_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axis = {"name": "m_a", "key": "ccafl.terms.ical.margin", "values": [0.1, 0.3]}
    outcomes, _ = measured(tmp_path, Pretender(lambda row, seed: 0.5), rows=[], axes=[axis])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CCAFLError, match=r'^Figures need matplotlib: pip install "ccafl_plugin\[figures\]"\.$'):
        draw_figures(outcomes, tmp_path / "figures")


def test_figures_and_data(tmp_path: Path) -> None:
    axis = {"name": "m_a", "key": "ccafl.terms.ical.margin", "values": [0.1, 0.3, 0.5], "note": "paper: 0.7"}
    words = {"name": "sampler", "key": "sampler.train_sampler", "values": ["ProxySampler", "IntraCameraSampler"]}
    start = Pretender(lambda row, seed: 0.5)
    outcomes, _ = measured(tmp_path, start, rows=[], axes=[axis, words])
    files = draw_figures(outcomes, tmp_path / "figures")
    assert [file.name for file in files] == ["m-a.svg", "sampler.svg"]
    first = [file.read_bytes() for file in files]
    assert b"<svg" in first[0]
    assert [file.read_bytes() for file in draw_figures(outcomes, tmp_path / "figures")] == first
    write_runs(outcomes, tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert len(rows) == 5 * 2
    assert {row["row"] for row in rows} == {"m_a = 0.1", "m_a = 0.3", "m_a = 0.5",
                                            "sampler = ProxySampler", "sampler = IntraCameraSampler"}  # fmt: skip
    assert rows[0]["mAP"] == "0.5"
    assert rows[0]["first_precision"] == "0.25"
    assert rows[0]["last_recall"] == "1"
