"""The pages that say how to start: their commands are right; links of all pages lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torchreid

import ccafl_plugin  # noqa: F401  registers
from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.integration import torchreid_names
from tests.pages import REPOSITORY, commands, links

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

DOCS = REPOSITORY / "docs"
PAGES = sorted([*DOCS.glob("*.md"), REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md"])
START = [DOCS / name for name in ("quickstart.md", "datasets.md")]
COMMANDS = [line for page in START for line in commands(page.read_text(encoding="utf-8")) if "--config-file" in line]


def test_the_index_lists_every_page() -> None:
    listed = {
        link.partition("#")[0].rpartition("/")[2] for link in links((DOCS / "index.md").read_text(encoding="utf-8"))
    }
    assert {page.name for page in PAGES} - {"index.md"} <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_the_settings_of_commands_exist(command: str, tmp_path: Path) -> None:
    words = command.partition("--config-file ")[2].split()
    pairs = words[words.index("--root") + 2 :] if "--root" in words else words[1:]
    for key in ("model.resume", "model.load_weights"):  # files of a run that the reader has made
        if key in pairs:
            file = tmp_path / "file"
            file.touch()
            pairs[pairs.index(key) + 1] = str(file)
    load_config(REPOSITORY / words[0], pairs)


def test_the_names_that_are_added_to_torchreid_are_there() -> None:
    rows = dict(re.findall(r"^\| (`?[\w.]+`?) \| (.*) \|$", (DOCS / "quickstart.md").read_text(), re.MULTILINE))
    known = {
        "`build_model`": torchreid_names.model_names(),
        "`train_sampler`": torchreid_names.sampler_names(),
        "`transforms`": torchreid_names.transform_names(),
        "`build_lr_scheduler`": torchreid_names.scheduler_names(),
        "datasets": torchreid_names.dataset_classes(),
        "`torchreid.engine`": dir(torchreid.engine),
        "`torchreid.losses`": dir(torchreid.losses),
    }
    for place, names in known.items():
        named = re.findall(r"`(\w+)`", rows[place].partition(" (")[0])
        assert named and set(named) <= set(names), place


def test_the_datasets_that_are_named_are_there() -> None:
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    names = re.findall(r"`(\w+)`", " ".join(re.findall(r"\| ([^|]+) \|$", text, re.MULTILINE)))
    assert (
        {"market1501", "msmt17_trainval", "synthetic_persons"} <= set(names) <= set(torchreid_names.dataset_classes())
    )
    for folder in ("market1501", "dukemtmcreid", "msmt17"):
        for model in ("rn50", "vit_b16"):
            assert (configs_folder() / folder / f"ccafl_{model}.yaml").exists()


def test_the_extras_are_those_of_the_package() -> None:
    text = (DOCS / "quickstart.md").read_text(encoding="utf-8")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"^\| `pip install -e \"\.\[(\w+)\]\"` \|", text, re.MULTILINE)) == set(
        project["optional-dependencies"]
    )


def test_the_page_of_costs_says_which_version_was_measured() -> None:
    """It may be older than the code."""
    text = (DOCS / "cost.md").read_text(encoding="utf-8")
    said = re.findall(r"\*\*Measured with version (\S+?)\*\*", text)
    assert said == sorted(set(re.findall(r"ccafl_plugin (\d[\w.]*\w)", text.partition("<!-- benchmarks")[2])))
