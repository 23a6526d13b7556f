"""What the README says can be done: short, its program runs, its commands are right, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccafl_plugin.config import load_config
from ccafl_plugin.engine import PromptStage
from ccafl_plugin.options import options
from tests.pages import ABSOLUTE, HOME, REPOSITORY, commands, leads_nowhere, links

PAGE = REPOSITORY / "README.md"
README = PAGE.read_text(encoding="utf-8")


def test_it_is_read_in_two_minutes() -> None:
    assert len(README.splitlines()) <= 110


def test_the_program_runs(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands, but for the numbers of epochs and their length; it starts from the weights of the package."""
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert "pretrained=True" in program
    for old, new in (("max_epoch=50", "max_epoch=1"), ("iters_per_epoch=20", "iters_per_epoch=1")):
        assert old in program
        program = program.replace(old, new)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reid-data").symlink_to(rendered)
    monkeypatch.setattr("ccafl_plugin.engine.ccafl_engine.PromptStage", lambda: PromptStage(epochs=1))
    exec(program, {})
    assert options.iters_per_epoch == 1
    assert "mAP: " in capsys.readouterr().out


@pytest.mark.parametrize("command", [line for line in commands(README) if "--config-file" in line])
def test_the_settings_of_its_commands_exist(command: str) -> None:
    file, *pairs = command.partition("--config-file ")[2].partition(" --root")[0].split()
    load_config(REPOSITORY / file, pairs)


def test_its_links_lead_somewhere() -> None:
    found = links(README)
    assert found
    assert not [link for link in found if leads_nowhere(link, PAGE)]


def test_its_links_work_where_the_package_is_published() -> None:
    """On PyPI a relative link leads nowhere; a page of GitHub about a picture is no picture."""
    assert all(link.startswith("https://") for link in links(README))
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures and all(picture.startswith(f"{HOME}/raw/main/") for picture in pictures)


def test_a_link_that_leads_nowhere_is_found() -> None:
    assert leads_nowhere(f"{ABSOLUTE[0]}docs/no_such_page.md", PAGE)
    assert leads_nowhere("docs/no_such_page.md", PAGE)
    assert leads_nowhere("CHANGELOG.md#no-such-heading", PAGE)
    assert not leads_nowhere("docs/results.md#part-by-part", PAGE)
    assert not leads_nowhere("https://example.org/page", PAGE)


def test_its_files_exist() -> None:
    names = re.findall(r"(?:configs|tools)/[\w/.]+\.(?:yaml|py)", README)
    assert names
    assert not [name for name in names if not (REPOSITORY / name).exists()]
