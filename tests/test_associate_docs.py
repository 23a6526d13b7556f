"""docs/associate.md: every command and the program of it run, on few people and with colours as features."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ccafl_plugin.features import associate_command, extract_command
from ccafl_plugin.synthetic import render_command
from tests.data.own_pictures import write
from tests.features.stand_in import Colours
from tests.features.test_associate_command import CAMERAS, save, save_frames
from tests.pages import commands, leads_nowhere, links

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "associate.md"
TEXT = PAGE.read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
RENDERED = "rendered/market1501/Market-1501-v15.09.15/bounding_box_train"


@pytest.fixture(autouse=True)
def in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path)
    monkeypatch.setattr(extract_command, "open_extractor", lambda *_, **__: Colours())
    save_frames(tmp_path / "my-videos")
    write(tmp_path / "my-cameras", *(f"{camera}/{person}/{n}.png" for camera in "ab" for person in "xyz" for n in "12"))
    (tmp_path / "my-tracks").mkdir()
    for camera in CAMERAS:
        (tmp_path / "my-tracks" / f"{camera}.txt").write_text("1,1,0,0,9,9,1\n")
    market = (f"000{person}_c{camera}s1_00000{n}_01.jpg" for person in range(1, 5) for camera in (1, 2) for n in (1, 2))
    write(tmp_path / RENDERED, *market)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", [line for line in commands(TEXT) if "associate.py" in line])
def test_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    python, tool, *words = shlex.split(command)
    assert (python, tool) == ("python", "tools/associate.py")
    assert associate_command.main(words) == 0, capsys.readouterr().err
    assert Path("identities/identities.csv").is_file()
    assert Path("identities/mot").is_dir() == ("--mot" in words or "--tracks" in words)


def test_its_program(capsys: pytest.CaptureFixture[str]) -> None:
    exec(PROGRAMS[0], {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "gate 1 1" and len(printed) == 13


def test_rendered_people_lie_where_it_says() -> None:
    command = next(line for line in commands(TEXT) if "make_synthetic" in line)
    given = render_command.parser().parse_args(shlex.split(command)[2:])
    assert RENDERED.startswith(f"{given.root}/{given.layout}/") and given.size == "small"


def test_its_links() -> None:
    assert not [link for link in links(TEXT) if leads_nowhere(link, PAGE)]
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in TEXT.splitlines() if line[:3] == "## "
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) == headings
