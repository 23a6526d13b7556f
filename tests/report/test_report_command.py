"""The command: what it writes, and what it says of folders in which something is missing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from ccafl_plugin.report import (
    association_curves,
    drawing,
    feature_space,
    learned_prompts,
    scores,
    training_curves,
)
from ccafl_plugin.report.page import Page, rendered
from ccafl_plugin.report.page_blocks import Drawing, Panel, Section
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.ranked_queries import RankedQueries
from ccafl_plugin.report.rankings import rankings_block
from ccafl_plugin.report.rebuilt_run import TestImages as Images
from ccafl_plugin.report.recorded_run import names_of
from ccafl_plugin.report.report_command import main
from ccafl_plugin.runs.train_command import main as train
from tests.data.own_pictures import write
from tests.report.conftest import HOSTILE
from tests.runs.test_own_command import SHORT

LIMIT = 15_000_000


def lines_of(page: Path) -> list[str]:
    """The lines that say what is missing."""
    return re.findall(r'<p class="missing">(.*?)</p>', page.read_text(encoding="utf-8"))


def titles_of(page: Path) -> list[str]:
    return re.findall(r"<h2>.*?</span>(.*?)</h2>", page.read_text(encoding="utf-8"))


def test_a_finished_run_has_every_part(page: Path, finished: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert titles_of(page)[:4] == ["Overview", "Scores", "Training", "Association across cameras"]
    found = json.loads((finished / "results.json").read_text())["scores"]["market1501"]
    assert f"<td>{100 * found['mAP']:.1f}</td>" in text
    assert '<th scope="col">camera told</th><th scope="col">chance</th>' in text
    for part in ("icdl", "inter: ", "ical: adversarial", "alignment: text", "proxy_classifier: classification"):
        assert re.search(f'alt="{part.partition(":")[0]} over the epochs', text), part
    assert "Active epochs of each term. " in text and "alignment: epochs 1 to 2" in text
    assert titles_of(page)[4:] == [
        *("Features", "Rankings", "Activation maps", "Learned prompts", "Configuration and versions")
    ]
    for part in ("Features before training, coloured by camera", "Features after training, coloured by person"):
        assert f'alt="{part}"' in text
    assert "Camera predicted from the feature from " in text and "Cosines after training, on average: " in text
    assert "Cosines of images and prompts before training" in text
    assert any("the text encoder has random weights" in line for line in lines_of(page))
    assert text.count('<figure class="triple">') == 6
    assert len(text) < LIMIT
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "Computed again" not in text  # the rankings are those of the run's own test


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Figures are put together but not laid out, which takes most of a page's time."""
    for module in (association_curves, feature_space, learned_prompts, scores, training_curves):
        monkeypatch.setattr(module, "as_drawing", lambda made, alt, caption="", paired=False: Drawing("data:,", alt))


def copy(finished: Path, tmp_path: Path, *without: str) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for pattern in without:
        for file in folder.glob(pattern):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    return folder


def written(folder: Path, *options: str) -> Path:
    assert main([str(folder), *options]) == 0
    return folder / "report.html"


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_results(finished: Path, tmp_path: Path) -> None:
    page = written(copy(finished, tmp_path, "results.json"), "--no-model")
    found = lines_of(page)
    assert "results.json is not there: the run has not finished; what is shown is of its checkpoints and logged " in (
        found[0] + " "
    ).replace("numbers. ", "")
    assert "No scores: the run has not finished, and a run is scored at its end." in found
    assert "Training" in titles_of(page) and "over the epochs" in page.read_text()
    assert "Counts of the association" in page.read_text()  # by the checkpoint


@pytest.mark.usefixtures("undrawn")
def test_half_a_run_without_checkpoints_and_with_cut_files(finished: Path, tmp_path: Path) -> None:
    folder = copy(finished, tmp_path, "checkpoint-*", "model", "weights.safetensors")
    (folder / "results.json").write_text('{"scores": {"x"')
    events = next(folder.glob("events*"))
    events.write_bytes(events.read_bytes()[: events.stat().st_size // 2])
    page = written(folder)
    assert any("results.json can&#39;t be read" in line for line in lines_of(page))
    assert any("there are no weights in the folder" in line for line in lines_of(page))
    assert "Training" in titles_of(page)


def test_a_folder_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("[1, 2]")
    (tmp_path / "checkpoint-3.json").write_text('{"model_state": 1}')
    (tmp_path / "notes <i>.txt").write_text("hello")
    with SummaryWriter(log_dir=str(tmp_path)) as writer:
        writer.add_scalar("Train/loss", float("nan"), 0)
        writer.add_scalar("Train/loss", 2.0, 1)
        writer.add_scalar("their/own", 2.0, 1)
    page = written(tmp_path)
    assert f"{tmp_path.name} is no folder of ccafl-train: it has no results.json, config.yaml and checkpoint." in (
        lines_of(page)
    )
    assert "loss over the epochs" in page.read_text()


def test_an_empty_folder(tmp_path: Path) -> None:
    page = written(tmp_path)
    assert lines_of(page)[0].endswith(
        "is no folder of ccafl-train: it has no results.json, config.yaml and checkpoint."
    )


@pytest.mark.parametrize("key", ["scores", "camera_pairs", "association", "settings", "versions", "model", "machine"])
@pytest.mark.parametrize("value", [3, "x", [["y"]], {"a": [1]}, None])
def test_results_of_another_form(key: str, value: object, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({key: value}))
    page = written(tmp_path, "--no-model")
    assert "Overview" in titles_of(page)
    assert not any("can't be shown" in line for line in lines_of(page))


@pytest.mark.usefixtures("undrawn")
def test_without_an_evaluation(finished: Path, tmp_path: Path) -> None:
    folder = copy(finished, tmp_path)
    content = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**content, "scores": {}, "camera_pairs": {}}))
    found = lines_of(written(folder, "--no-model"))
    assert any(
        line.startswith("No scores: the run was not tested, because there is no query and gallery") for line in found
    )


@pytest.mark.usefixtures("undrawn")
def test_own_cameras_without_labels(tmp_path: Path) -> None:
    """Nothing that needs ids across cameras is shown, everything else is, with the cameras' names."""
    names = [
        f"{camera}/{person}/{n}.png"
        for camera in ("ha<b>ll", "yard")
        for person in "stuvwxyz"
        for n in ("1", "2", "3<i>", "4")
    ]
    root, folder = write(tmp_path / "own", *names), tmp_path / "log"
    file = "configs/own/ccafl_margin_tiny.yaml"
    assert train(["--config-file", file, "--root", str(root), *SHORT, "data.save_dir", str(folder)]) == 0
    page = written(folder)
    text, found = page.read_text(encoding="utf-8"), lines_of(page)
    assert {"Features", "Association across cameras", "Activation maps", "Learned prompts"} <= set(titles_of(page))
    assert "by camera, before" in text or "coloured by camera" in text
    assert "coloured by person" not in text and "<b>ll" not in text
    assert "3&lt;i&gt;.png" in text and "<i>" not in text
    assert 'class="camera">ha&lt;b&gt;ll</span>' in text
    for line in (
        "No scores: the run was not tested",
        "No distances across cameras: ids hold inside a camera only",
        "Rankings: not shown: there is no query and gallery with ids that hold across cameras.",
    ):
        assert any(each.startswith(line) for each in found), line
    assert not any("right pairs" in alt for alt in re.findall('alt="(.*?)"', text))


@pytest.mark.usefixtures("undrawn")
def test_data_that_are_gone(finished: Path, tmp_path: Path) -> None:
    page = written(copy(finished, tmp_path), "--root", str(tmp_path / "nowhere"))
    line = next(line for line in lines_of(page) if "What needs data and model is not shown" in line)
    assert "the data of market1501 are not in" in line and "--root" in line
    assert "mAP" in page.read_text()


def test_what_cannot_be_written_or_read(tmp_path: Path, capsys, monkeypatch) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main([str(tmp_path), "--out", str(tmp_path / "file" / "page.html")]) == 2
    assert "can't be written" in capsys.readouterr().err
    monkeypatch.setattr(drawing, "NEEDED", ("a_package_that_is_not_there",))
    assert main([str(tmp_path)]) == 2
    assert 'pip install "ccafl_plugin[report]"' in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_several_runs_side_by_side(finished: Path, tmp_path: Path, capsys) -> None:
    other = copy(finished, tmp_path)
    out = tmp_path / "both.html"
    capsys.readouterr()
    assert main([str(finished), str(other), "--no-model", "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"Written to {tmp_path}: both.html\n")
    text = out.read_text()
    assert "Comparison of 2 runs" in text
    assert len(re.findall("<h3>log</h3>", text)) == len(re.findall("<h3>run</h3>", text)) >= 3


def test_names(tmp_path: Path) -> None:
    folders = [tmp_path / a / b for a in ("x", "y") for b in ("seed-1", "seed-2")]
    assert names_of(folders[:1]) == ["x/seed-1"]
    assert names_of(folders) == ["x/seed-1", "x/seed-2", "y/seed-1", "y/seed-2"]
    assert len(set(names_of([tmp_path, tmp_path]))) == 2
    for folder in folders[:2]:
        folder.mkdir(parents=True)
        seed = int(folder.name[-1])
        (folder / "run.json").write_text(json.dumps({"row": "our recipe", "seed": seed}))
    assert names_of(folders[:2]) == ["our recipe, seed 1", "our recipe, seed 2"]
    assert names_of(folders[:1]) == ["our recipe"]


def test_pictures_stop_at_the_budget(tmp_path: Path) -> None:
    """Noise compresses worst."""
    file = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 128, 3), dtype=np.uint8)).save(file)
    assert Pictures().budget < LIMIT - 3_000_000
    pictures = Pictures(budget=100_000)
    uris = [pictures.read(str(file)) for _ in range(30)]
    assert sum(map(len, uris)) == pictures.used <= 100_000
    assert pictures.refused == uris.count("") > 0
    assert f"{pictures.refused} pictures are left out, so that the page stays below 15 MB." in pictures.lines()


def test_five_thousand_queries(tmp_path: Path) -> None:
    """A page with as many rows as one with fewer queries, and far from its limit with pictures of noise."""
    file, rng = tmp_path / "noise.png", np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)).save(file)
    queries, gallery = 5000, 60
    persons, cameras = rng.integers(0, 20, queries + gallery), rng.integers(0, 6, queries + gallery)
    images = Images("x", (str(file),) * (queries + gallery), persons, cameras, queries)
    ranked = RankedQueries(rng.random((queries, gallery), dtype=np.float32), images)
    run: Any = SimpleNamespace(camera_name=str)
    block = rankings_block(run, ranked, Pictures())
    assert len(block.content["rows"]) == 40
    assert f"40 of {len(ranked.valid):,} queries, chosen so that their mix matches the CMC" in block.content["said"]
    section = Section("rankings", "Rankings", panels=[Panel("run", [block])])
    text = rendered(Page("run", "", "", [section], False, ""))
    assert text.count("data:image/jpeg") == 40 * 11
    assert len(text) < LIMIT / 2


def test_every_text_is_escaped() -> None:
    text = rendered(Page(HOSTILE, HOSTILE, HOSTILE, [], False, HOSTILE))
    assert "<b onmouseover" not in text and text.count("&lt;b onmouseover") == 5
