"""What the README says can be done: its program runs, its configurations load, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccafl_plugin.config import load_config
from ccafl_plugin.engine import PromptStage
from ccafl_plugin.options import options
from ccafl_plugin.synthetic import renderer as synthetic

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def test_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, but for the numbers of epochs and their length."""
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert "max_epoch=50" in program
    monkeypatch.chdir(tmp_path)
    synthetic.ensure("reid-data", "tiny", 1)
    monkeypatch.setattr("ccafl_plugin.engine.ccafl_engine.PromptStage", lambda: PromptStage(epochs=1))
    with options.override(iters_per_epoch=1, input_size=(96, 48)):
        exec(program.replace("max_epoch=50", "max_epoch=1"), {})
    assert "mAP: " in capsys.readouterr().out


@pytest.mark.parametrize("command", [line for line in COMMANDS if "--config-file" in line])
def test_the_settings_of_its_commands_exist(command: str, tmp_path: Path) -> None:
    words = command.partition("--config-file ")[2].split()
    pairs = words[words.index("--root") + 2 :] if "--root" in words else words[1:]
    for key in ("model.resume", "model.load_weights"):  # files of a run that the reader has made
        if key in pairs:
            file = tmp_path / "file"
            file.touch()
            pairs[pairs.index(key) + 1] = str(file)
    load_config(REPOSITORY / words[0], pairs)


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    missing = [link for link in links if not link.startswith("http") and not (REPOSITORY / link).exists()]
    assert not missing
    assert not [
        name
        for name in re.findall(r"(?:configs|tools)/[\w/.]+\.(?:yaml|py)", README)
        if not (REPOSITORY / name).exists()
    ]
