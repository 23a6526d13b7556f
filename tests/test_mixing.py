"""docs/mixing.md: its program and its configuration run; its commands, pieces, files and links exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.runs.train_command import main

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "docs" / "mixing.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return found


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


SHORT = [("max_epoch=20", "max_epoch=1"), ("iters_per_epoch=40", "iters_per_epoch=2")]
FULL = [
    (
        'keep_unassociated(associate(self.memory.centroids, self.labels.camera_of_proxy, "margin"))',
        "self.labels.person_of_proxy",
    ),
    ("ProxySampler", "IdentitySampler"),
]


@pytest.mark.parametrize("changes", [[], FULL], ids=["intra_camera", "full"])
def test_the_program_runs(
    changes: list[tuple[str, str]],
    rendered: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it stands, but for the numbers of epochs and iterations; every window is open."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reid-data").symlink_to(rendered)
    names: dict[str, Any] = {}
    exec(
        replaced(block("python"), *SHORT, *changes, ("epoch >= 10", "epoch >= 0"), ("epoch >= 16", "epoch >= 0")), names
    )
    assert "mAP: " in capsys.readouterr().out
    engine = names["engine"]
    weights = engine.model.conv1.conv.weight
    assert weights.grad.abs().sum() > 0
    assert all(torch.isfinite(parameter).all() for parameter in engine.model.parameters())
    people = engine.datamanager.num_train_pids
    assert int(engine.pseudo.max()) + 1 == people if changes else int(engine.pseudo.min()) == 0
    for rows in (engine.memory.centroids, engine.memory.instances.flatten(0, 1), engine.clusters.centroids):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows), device=rows.device))


def test_the_engine_has_less_than_thirty_lines() -> None:
    engine = re.search(r"^class MyEngine.*?(?=^\S(?!lass MyEngine))", block("python"), re.DOTALL | re.MULTILINE).group()
    assert 20 < len([line for line in engine.splitlines() if line.strip()]) < 30


def test_the_configuration_runs(rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One iteration of a smaller OSNet."""
    file = tmp_path / "mine.yaml"
    base = configs_folder() / "synthetic" / "base_medium.yaml"
    file.write_text(replaced(block("yaml"), ("base: base_medium.yaml", f"base: {base}")))
    assert load_config(file).model.name == "osnet_x1_0"
    code = main(
        [
            *["--config-file", str(file), "--root", str(rendered), "data.save_dir", str(tmp_path / "log")],
            *["model.name", "osnet_x0_25", "ccafl.synthetic.size", "tiny", "ccafl.iters_per_epoch", "1"],
            *["train.max_epoch", "1", "train.print_freq", "1", "ccafl.terms.ical.first_epoch", "0"],
        ]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert re.search(r"proxy_classifier/.*ical/adversarial.*softmax/cross_entropy.*triplet/batch_hard", printed.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_settings_of_its_commands_exist(command: str) -> None:
    file, *pairs = command.partition("--config-file ")[2].split()
    load_config(REPOSITORY / file, pairs)


def test_its_pieces_exist() -> None:
    pieces = re.findall(r"^\| `([\w.]+)` \|", TEXT, re.MULTILINE)
    assert len(pieces) > 10
    for piece in pieces:
        module, _, name = piece.rpartition(".")
        assert hasattr(importlib.import_module(module), name), piece


def test_its_files_and_links_exist() -> None:
    names = re.findall(r"`[^`\n]*?(\w+\.yaml)`", TEXT)
    folders = [configs_folder() / folder for folder in ("synthetic/baselines", "market1501", "suites")]
    assert names
    assert not [name for name in names if not any((folder / name).exists() for folder in folders)]
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert not [link for link in links if not (REPOSITORY / "docs" / link).exists()]
