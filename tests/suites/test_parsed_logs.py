"""Tables from logs: torchreid's own, ours, and published rows beside them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
import yaml

from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.config.tree import default_config
from ccafl_plugin.runs.results import FILE
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.parsed_logs import parse_log, read_logs
from ccafl_plugin.suites.published_rows import with_published
from ccafl_plugin.suites.suite_command import main as benchmark
from ccafl_plugin.suites.suite_table import make_table
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import write_pictures
from tests.suites.small_suites import write_results

RESULTS = """\
##### Evaluating {name} (source) #####
Extracting features from query set ...
** Results **
mAP: {mAP}%
CMC curve
Rank-1  : {rank1}%
Rank-5  : 99.0%
"""


def torchreids_log(
    seed: int = 1, mean: float = 69.5, rank1: float = 86.2, model: str = "osnet_x0_25", **data: object
) -> str:
    """What torchreid's main script prints: its tree has no node of ours."""
    config = default_config()
    del config["ccafl"]
    config.train.seed = seed
    config.model.name = model
    config.data.update(data)
    return (
        f"Show configuration\n{config}\n\nCollecting env info ...\n** System info **\nPyTorch version: 1.13.1\n\n"
        "Building model: osnet_x0_25\nModel complexity: params=203,568 flops=82,316,000\n"
        f"=> Start training\n{RESULTS.format(name='market1501', mAP=12.3, rank1=30.0)}"
        f"=> Final test\n{RESULTS.format(name='market1501', mAP=mean, rank1=rank1)}Elapsed 1:02:03\n"
    )


def cells(outcomes: Outcomes, *columns: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(make_table(outcomes, "csv", columns or None))))


def write_log(folder: Path, text: str, name: str = "train.log-2020-01-01-00-00-00") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_torchreids_own_logs(tmp_path: Path) -> None:
    write_log(tmp_path / "osnet" / "seed1", torchreids_log(1))
    write_log(tmp_path / "osnet" / "seed2", torchreids_log(2, 70.5, 87.2))
    write_log(tmp_path / "unknown", torchreids_log(1, 50.0, 60.0, model="mynet"))
    write_log(tmp_path / "broken off", torchreids_log().partition("=> Start")[0])
    table = cells(read_logs(tmp_path), "model", "scores", "model_zoo", "time")
    assert [row[:1] for row in table] == [[""], ["osnet"], ["unknown"]]
    assert table[0][1:] == ["Seeds", "Model", "# Param (10^6)", "GFLOPs", "Loss", "Input", "Transforms", "Distance",
                            "mAP", "Rank-1", "Rank-1 (mAP)", "Training (min)"]  # fmt: skip
    assert table[1][1:] == ["2 of 2", "osnet_x0_25", "0.2", "0.08", "softmax", "(256, 128)", "random_flip",
                            "euclidean", "70.0 ± 0.7", "86.7 ± 0.7", "86.7 ± 0.7 (70.0 ± 0.7)", "62.0"]  # fmt: skip
    text = make_table(read_logs(tmp_path))
    assert "Measured with torch 1.13.1.\n" in text  # what torchreid's log doesn't say isn't named
    assert "None" not in text
    assert "- osnet: from osnet/seed1, osnet/seed2\n" in text
    assert "- unknown: " not in text
    assert table[2][1:5] == ["1 of 2", "mynet", "0.2", "0.08"]  # torchreid's own count: the model can't be built here


def test_the_last_test_of_the_newest_log_counts(tmp_path: Path) -> None:
    content = parse_log(torchreids_log())
    assert content["scores"] == {"market1501": pytest.approx({"mAP": 0.695, "rank1": 0.862, "rank5": 0.99})}
    assert content["training_seconds"] == 3723
    assert parse_log("nothing of the kind") is None
    write_log(tmp_path / "run", torchreids_log(), "train.log-1")
    write_log(tmp_path / "run", torchreids_log(mean=1.0), "train.log-2")
    write_log(tmp_path / "run", "broken off", "train.log-3")
    (row,) = cells(read_logs(tmp_path), "scores")[1:]
    assert row == ["run", "1.0", "86.2"]


def test_exact_results_win_over_a_log(tmp_path: Path) -> None:
    write_log(tmp_path / "run", torchreids_log())
    write_results(tmp_path / "run", "digest", 0.123)
    content = json.loads((tmp_path / "run" / FILE).read_text())
    (tmp_path / "run" / FILE).write_text(json.dumps({**content, "seed": 4, "targets": ["market1501"]}))
    assert cells(read_logs(tmp_path), "scores")[1][1:] == ["12.3", "22.3"]


def test_our_own_log_and_results_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_pictures(tmp_path / "data")
    small = [
        *["model.name", "clip_tiny", "model.pretrained", "False", "use_gpu", "False", "train.max_epoch", "1"],
        *["data.height", "64", "data.width", "32", "data.workers", "0", "train.batch_size", "8"],
    ]
    assert main(["--root", str(root), *small, "data.save_dir", str(tmp_path / "runs" / "a")]) == 0
    exact = cells(read_logs(tmp_path / "runs"), "model", "scores")
    (tmp_path / "runs" / "a" / FILE).unlink()
    assert cells(read_logs(tmp_path / "runs"), "model", "scores") == exact
    table = make_table(read_logs(tmp_path / "runs"))
    assert re.search(r"^Measured with ccafl_plugin \S+, torch \S+, torchreid \S+, python \S+\.$", table, re.MULTILINE)
    capsys.readouterr()
    assert benchmark(["--parse", str(tmp_path / "runs"), "--published", "--columns", "model_zoo"]) == 0
    printed = capsys.readouterr().out
    assert "CCAFL, RN50 (published)" in printed
    assert "not measured here; Tan, Gong, Xiang" in printed


def test_a_folder_without_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CCAFLError, match="--parse: no finished run below"):
        read_logs(tmp_path)
    assert benchmark(["--parse", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: --parse: no finished run")
    assert benchmark([]) == 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"sources": None}, "'sources' is None"),
        ({"sources": [1]}, r"'sources' is \[1\], no list of names"),
        ({"targets": "market1501"}, "'targets' is 'market1501'"),
        ({"scores": 5}, "'scores' is 5"),
        ({"scores": {"market1501": 0.5}}, "the scores of 'market1501' are 0.5"),
        ({"scores": {"market1501": {"mAP": "good"}}}, "the scores of 'market1501' are"),
        ({"settings": []}, r"'settings' is \[\]"),
        ({"seed": "one"}, "'seed' is 'one'"),
        ({"seed": None}, "'seed' is None"),
        ({"model": 3}, "'model' is 3"),
    ],
)
def test_results_that_somebody_has_changed(
    change: dict[str, object], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    write_results(tmp_path / "run", "digest", 0.123, seed=1, targets=["market1501"])
    content = json.loads((tmp_path / "run" / FILE).read_text())
    (tmp_path / "run" / FILE).write_text(json.dumps({**content, **change}))
    assert benchmark(["--parse", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert re.match(
        rf"error: --parse: the results in '[^\n]*run' can't be used: [^\n]*{fault}[^\n]*; mend or remove them\.\n$", err
    )


@pytest.mark.parametrize("key", ["sources", "targets", "scores", "settings", "seed", "model"])
def test_results_that_lack_something(key: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_results(tmp_path / "run", "digest", 0.123, seed=1, targets=["market1501"])
    content = json.loads((tmp_path / "run" / FILE).read_text())
    del content[key]
    (tmp_path / "run" / FILE).write_text(json.dumps(content))
    with pytest.raises(CCAFLError, match=f"can't be used: '{key}' is missing"):
        read_logs(tmp_path)


def test_a_log_without_sources(tmp_path: Path) -> None:
    write_log(tmp_path / "run", torchreids_log(sources=None))
    with pytest.raises(CCAFLError, match="'sources' is 'None'"):
        read_logs(tmp_path)
    write_log(tmp_path / "run", torchreids_log().replace("Show configuration\n", "Show configuration\n" + "[" * 50_000))
    with pytest.raises(CCAFLError, match="no finished run below"):
        read_logs(tmp_path)


def test_published_rows_are_marked_and_only_for_the_same_test_sets(tmp_path: Path) -> None:
    write_log(tmp_path / "a", torchreids_log(sources=["msmt17"], targets=["market1501"]))
    table = cells(with_published(read_logs(tmp_path)), "scores", "cmc")
    assert table[1][0] == "a"
    rows = {row[0]: row[1:] for row in table[2:]}
    assert all(name.endswith(" (published)") for name in rows)
    assert rows["CCAFL, RN50 (published)"] == ["90.1", "96.1", "98.6", "99.1"]
    assert rows["CDL (published)"] == ["84.6", "94.0", "", ""]
    nothing = tmp_path / "nothing.yaml"
    nothing.write_text(yaml.safe_dump([{"name": "x", "source": "y", "scores": {"msmt17": {"mAP": 1.0}}}]))
    assert len(cells(with_published(read_logs(tmp_path), nothing), "scores")) == 2


def test_every_published_row_has_a_source() -> None:
    for entry in yaml.safe_load((configs_folder() / "suites" / "published.yaml").read_text()):
        assert set(entry) == {"name", "source", "scores"}
        for scores in entry["scores"].values():
            assert all(1 < value < 100 for value in scores.values())
