"""Every code block of README and docs: what runs it, or what is checked of it and why no test runs it.

A new block makes these tests fail until the table says how it is kept right. Besides, every line of shell commands on
any page is checked here: the tool exists, its parser takes the arguments, settings exist, extras exist.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ccafl_plugin.options import options
from tests.command_lines import check_command, simple_commands
from tests.pages import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [
    *(f"docs/{page.name}" for page in sorted((REPOSITORY / "docs").glob("*.md"))),
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
]


class Block(NamedTuple):
    """A language, and how its block is kept right."""

    language: str
    how: str


def runs(language: str, test: str) -> Block:
    """A test runs the block, or compares it with what the code gives; ``FILE::FUNCTION`` below tests/."""
    return Block(language, f"tests/{test}")


def lines(why_not_run: str) -> Block:
    """Shell commands that are checked line by line here, and why no test runs them."""
    return Block("sh", f"lines: {why_not_run}")


def shown(language: str, why: str) -> Block:
    """Nothing that a test could run."""
    return Block(language, f"shown: {why}")


EVERY = {"math": "tests/website/test_pages.py::test_every_formula_has_mathml"}
"""Languages, and the test that looks at all blocks in them, however many."""
TRAINS_LONG = "trains for minutes or longer; tests train what the configuration says for an iteration"
OUTPUT = "numbers of one run"
HOW: dict[str, list[Block]] = {
    "README.md": [
        lines(".ci/run installs with these commands and runs both"),
        lines("tests/test_own_docs.py runs the same commands on docs/own-cameras.md"),
        shown("", OUTPUT),
        runs("python", "test_readme.py::test_the_program_runs"),
    ],
    "CONTRIBUTING.md": [
        lines(".ci/run runs them"),
        lines(".ci/run builds the site"),
        lines(".ci/run executes the notebook"),
        runs("python", "test_contributing.py::test_a_loss"),
        runs("python", "test_contributing.py::test_a_sampler"),
        runs("python", "test_contributing.py::test_an_association"),
        runs("python", "test_contributing.py::test_a_backbone"),
    ],
    "docs/architecture.md": [runs("", "test_imports.py::test_the_picture_in_the_docs_is_the_code")],
    "docs/associate.md": [
        runs("sh", "test_associate_docs.py::test_a_command"),
        runs("sh", "test_associate_docs.py::test_a_command"),
        runs("sh", "test_associate_docs.py::test_a_command"),
        runs("sh", "test_associate_docs.py::test_a_command"),
        runs("sh", "test_associate_docs.py::test_a_command"),
        runs("sh", "test_associate_docs.py::test_a_command"),
        runs("python", "test_associate_docs.py::test_its_program"),
    ],
    "docs/backbones.md": [lines("tests/engine/test_backbones.py trains every backbone with these settings")],
    "docs/cameras.md": [
        lines("needs Market-1501 and a trained model"),
        *3 * [runs("python", "test_cameras_docs.py::test_its_programs_run")],
    ],
    "docs/checkpoints.md": [
        lines("a pattern for any configuration"),
        lines("tests/runs/test_checkpoints_command.py runs both on a run of its own"),
    ],
    "docs/configuration.md": [
        runs("yaml", "test_code_blocks.py::test_the_file_on_the_page_of_settings_loads"),
        lines("needs Market-1501"),
    ],
    "docs/datasets.md": [lines("needs the datasets"), lines("needs Market-1501")],
    "docs/export.md": [
        runs("sh", "test_export_docs.py::test_its_commands_and_programs"),
        *3 * [runs("python", "test_export_docs.py::test_its_commands_and_programs")],
        shown("text", OUTPUT),
        runs("sh", "test_export_docs.py::test_its_commands_and_programs"),
    ],
    "docs/gpu.md": [lines("needs a GPU; tests/test_gpu_docs.py checks that the reports run on one")],
    "docs/index.md": [lines(".ci/run installs the checkout and runs it, shortened")],
    "docs/mixing.md": [
        runs("yaml", "test_mixing.py::test_the_configuration_runs"),
        lines(TRAINS_LONG),
        runs("python", "test_mixing.py::test_the_program_runs"),
    ],
    "docs/own-cameras.md": [
        runs("text", "test_own_docs.py::test_a_command"),
        *2 * [runs("sh", "test_own_docs.py::test_a_command")],
        runs("csv", "test_own_docs.py::test_its_tables"),
        runs("sh", "test_own_docs.py::test_a_command"),
        runs("text", "test_own_docs.py::test_a_command"),
        *3 * [runs("sh", "test_own_docs.py::test_a_command")],
        shown("text", OUTPUT),
        runs("sh", "test_own_docs.py::test_a_command"),
        *2 * [runs("sh", "test_own_docs.py::test_the_whole_way")],
        *2 * [runs("csv", "test_own_docs.py::test_a_command")],
        *2 * [runs("sh", "test_own_docs.py::test_a_command")],
        runs("python", "test_own_docs.py::test_its_program"),
    ],
    "docs/quickstart.md": [
        lines("needs a network; .ci/run installs the checkout"),
        lines("needs another index of packages"),
        lines(".ci/run runs it, shortened"),
        lines(TRAINS_LONG),
    ],
    "docs/report.md": [lines("tests/report runs the command on a run of its own")],
    "docs/results.md": [lines(TRAINS_LONG), lines(TRAINS_LONG)],
    "docs/scaling.md": [lines("needs several GPUs; tests/runs/test_failing_processes.py has a slow test of torchrun")],
    "docs/search.md": [
        *6 * [runs("sh", "test_search_docs.py::test_its_commands_and_its_program")],
        runs("python", "test_search_docs.py::test_its_commands_and_its_program"),
    ],
    "docs/suites.md": [
        lines(TRAINS_LONG),
        lines(TRAINS_LONG),
        runs("yaml", "suites/test_docs.py::test_the_example_can_be_planned"),
        shown("", OUTPUT),
    ],
    "docs/synthetic_persons.md": [
        runs("sh", "synthetic/renderer/test_docs.py::test_the_commands_and_their_output"),
        runs("", "synthetic/renderer/test_docs.py::test_the_commands_and_their_output"),
        lines("takes half an hour; tests/synthetic/pretraining trains for some steps"),
    ],
    "docs/torchreid.md": [shown("text", "scripts of torchreid; models/test_torchreid_tools.py takes their steps")],
    "docs/weights.md": [
        *4 * [runs("python", "test_weights_docs.py::test_its_programs_run")],
        lines("needs published weights; tests/runs/test_convert_command.py converts files with their names and shapes"),
        lines("needs Market-1501 and OpenAI's weights"),
    ],
}


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Language and text of each block of a page."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_in_the_table(page: str) -> None:
    found = [language for language, _ in blocks_of(page) if language not in EVERY]
    assert found == [block.language for block in HOW.get(page, [])], f"{page}: say in HOW what keeps each block right"


def test_the_table_is_of_pages_that_there_are() -> None:
    assert set(HOW) <= set(PAGES)


@pytest.mark.parametrize("how", sorted({*EVERY.values(), *(block.how for blocks in HOW.values() for block in blocks)}))
def test_what_the_table_says_is_there(how: str) -> None:
    """A test that it names exists, in a file that reads the page; so do files named in a reason."""
    kind, _, reason = how.partition(": ")
    if kind in ("lines", "shown"):
        assert len(reason) > 10
        assert not [name for name in re.findall(r"tests/[\w/.]+|\.ci/run", reason) if not (REPOSITORY / name).exists()]
        return
    name, _, function = how.partition("::")
    source = (REPOSITORY / name).read_text(encoding="utf-8")
    assert re.search(rf"^def {function}\(", source, re.MULTILINE)
    for page, blocks in HOW.items():
        assert how not in [block.how for block in blocks] or page.rpartition("/")[2] in source


def command_lines() -> list[tuple[str, list[str]]]:
    """Page and words of every command on a page, each once."""
    found = {
        " ".join([page, *words]): (page, words)
        for page in PAGES
        for language, block in blocks_of(page)
        if language == "sh"
        for words in simple_commands(block)
    }
    return list(found.values())


@pytest.mark.parametrize(("page", "words"), command_lines(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_would_start(page: str, words: list[str], tmp_path: Path) -> None:
    with options.override():
        check_command(words, set(PROJECT["optional-dependencies"]), set(PROJECT["scripts"]), tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "python tools/no_such_tool.py",
        "python tools/extract.py pictures --no-such-option",
        "python tools/train.py --config-file configs/market1501/ccafl_rn50.yaml train.max_epochs 3",
        "ccafl-no-such-command",
        'pip install "ccafl_plugin[nosuch]"',
        "rm -rf /",
    ],
)
def test_a_command_that_would_not_start_is_found(command: str, tmp_path: Path) -> None:
    (words,) = simple_commands(command)
    with pytest.raises((AssertionError, SystemExit, ValueError)):
        check_command(words, set(PROJECT["optional-dependencies"]), set(PROJECT["scripts"]), tmp_path)


def test_the_file_on_the_page_of_settings_loads(tmp_path: Path) -> None:
    """docs/configuration.md's first block."""
    from ccafl_plugin.config import load_config

    language, text = blocks_of("docs/configuration.md")[0]
    assert language == "yaml"
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    config = load_config(file)
    assert (config.train.max_epoch, config.ccafl.terms.ical.enabled) == (10, False)
    assert config.data.save_dir == load_config(REPOSITORY / "configs/market1501/ccafl_rn50.yaml").data.save_dir
