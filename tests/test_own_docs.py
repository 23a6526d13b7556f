"""docs/own-cameras.md: every command, table and program of it runs, on rendered or noisy pictures."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ccafl_plugin.config.shipped_files import config_file
from ccafl_plugin.data.own_table import read_table
from ccafl_plugin.exporting import export_command
from ccafl_plugin.features import associate_command, extract_command, search_command
from ccafl_plugin.options import options
from ccafl_plugin.runs import check_command, train_command
from tests.data.own_pictures import picture, write

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "docs" / "own-cameras.md").read_text(encoding="utf-8")
BEFORE, WHOLE_WAY, AFTER = re.split(r"^## (?=To identities and a search|Evaluate with a few labels)", TEXT, flags=re.M)


def commands(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


TABLES = re.findall(r"```csv\n(.*?)```", TEXT, re.DOTALL)
SHORT = [
    *["use_gpu", "False", "data.height", "64", "data.width", "32", "data.workers", "0", "train.print_freq", "1000"],
    *["train.max_epoch", "1", "model.pretrained", "False"],
]
TERMS = ["model.name", "clip_tiny", "ccafl.iters_per_epoch", "1", "ccafl.stage1.epochs", "1"]
PLAIN = ["model.name", "osnet_x0_25", "train.batch_size", "8"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the page speaks of."""
    place = tmp_path_factory.mktemp("page")
    people = {"entrance": ("anna", "person 7", "x"), "yard": ("1", "2", "3")}
    names = [f"{camera}/{person}/{n:04d}.jpg" for camera, found in people.items() for person in found for n in (1, 2)]
    write(place / "my-cameras", *names, "yard/1/a.png", "yard/1/b.png", "yard/2/a.png")
    (place / "my-cameras" / "labels.csv").write_text(TABLES[1], encoding="utf-8")
    (place / "my-cameras" / "pairs.csv").write_text(TABLES[2], encoding="utf-8")
    write(place / "my-crops", *(f"{p}_cam{c}_{n}.jpg" for p in ("anna", "b") for c in (1, 2) for n in range(3)))
    tables = write(place / "my-tables", "images/000001.jpg", "images/000002.jpg")
    write(tables, "pictures/whole.jpg", height=90, width=120, first=9)
    more = "".join(f"images/{n}.jpg,{n // 2},yard,train,,,,\n" for n in range(10, 16))
    write(tables, *(f"images/{n}.jpg" for n in range(10, 16)))
    (tables / "people.csv").write_text(TABLES[0] + more, encoding="utf-8")
    write(place / "my-people", *(f"{person}/{n}.jpg" for person in "abcd" for n in range(4)))
    write(place / "my-people-everywhere", *(f"{c}/{p}/{n}.jpg" for c in "ab" for p in "uvwxyz" for n in range(2)))
    videos = place / "my-videos"
    (videos / "yard" / "img1").mkdir(parents=True)
    (videos / "yard" / "gt").mkdir()
    writer = cv2.VideoWriter(str(videos / "entrance.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (160, 120))
    for frame in range(1, 5):
        shown = picture(frame, 120, 160)
        writer.write(np.ascontiguousarray(shown[:, :, ::-1]))
        Image.fromarray(shown).save(videos / "yard" / "img1" / f"{frame:06d}.jpg")
    writer.release()
    rows = "".join(f"{frame},{track},{40 * track},20,30,60,1\n" for frame in range(1, 5) for track in (1, 2, 3))
    (videos / "entrance.txt").write_text(rows)
    (videos / "yard" / "gt" / "gt.txt").write_text(rows.replace(",1\n", ",1,1,1\n"))
    return place


@pytest.fixture(autouse=True)
def in_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(place)
    yield


@pytest.mark.parametrize("command", commands(BEFORE + AFTER))
def test_a_command(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, but for a small model, and one epoch of one iteration."""
    python, tool, *words = shlex.split(command)
    assert python == "python" and (REPOSITORY / tool).is_file()
    if tool == "tools/check_data.py":
        code = check_command.main([*words, *SHORT, *TERMS])
        assert "index.html" in capsys.readouterr().out
    else:
        small = PLAIN if "without_cameras" in command else TERMS
        code = train_command.main([*words, *SHORT, *small, "data.save_dir", str(tmp_path / "log")])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        evaluates = "labels.csv" in command or "test_share" in command
        assert ("mAP: " in printed.out) == evaluates
        assert ("1 same and 1 different pairs of 3 images" in printed.out) == ("pairs.csv" in command)
        assert list((tmp_path / "log" / "model").iterdir())
    assert code == 0


def test_the_whole_way(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command after the other: training for one iteration, features, identities, a search, ONNX."""
    pytest.importorskip("onnxruntime", reason="needs ccafl_plugin[export]")
    tools = {"extract": extract_command, "associate": associate_command, "search": search_command}
    for command in commands(WHOLE_WAY):
        python, tool, *words = shlex.split(command)
        name = Path(tool).stem
        assert python == "python" and (REPOSITORY / tool).is_file()
        if name == "train":
            code = train_command.main([*words, *SHORT, *TERMS])
        elif name == "export":
            code = export_command.main(words)
        else:
            code = tools[name].main(words)
        assert code == 0, capsys.readouterr().err
    written = ["identities/identities.csv", "identities/page.html", "result.html", "identities-of-tracks/mot/yard.txt"]
    assert not [file for file in [*written, "log/own_ccafl_margin/weights.onnx"] if not (place / file).is_file()]


def test_its_tables(place: Path) -> None:
    assert len(read_table(place / "my-tables" / "people.csv")) == 3 + 6
    assert len(read_table(place / "my-cameras" / "labels.csv")) == 4


def test_its_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, but for the numbers of epochs and their length."""
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    program = program.replace("max_epoch=50", "max_epoch=0").replace("log/own", str(tmp_path / "log"))
    with options.override(iters_per_epoch=1, input_size=(96, 48)):
        exec(program, {})
    assert "('entrance', 'yard') ('entrance', 'anna')" in capsys.readouterr().out


def test_its_settings_files_and_links_exist() -> None:
    assert not [name for name in re.findall(r"configs/[\w/]+\.yaml", TEXT) if not config_file(name).is_file()]
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in TEXT.splitlines() if line[:3] == "## "
    }
    links = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert links and set(links) == headings
