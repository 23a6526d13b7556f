"""docs/method.md: every function, test, file and setting on it exists, and settings have the values that it shows."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
import yaml

from ccafl_plugin import losses
from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.runs.results import setting_leaves
from tests.layouts_torchreid import REPOSITORY

TEXT = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
NAMES = set(re.findall(r"`([\w.]+(?:/[\w./:]+)?)`", re.sub(r"\$`.*?`\$", "", TEXT)))
EQUATIONS = [int(number) for number in re.findall(r"\\tag\{(\d+)\}", TEXT)]
FILES = {
    "Market-1501": "market1501/ccafl_rn50.yaml",
    "DukeMTMC-reID": "dukemtmcreid/ccafl_rn50.yaml",
    "MSMT17": "msmt17/ccafl_rn50.yaml",
    "the paper": "market1501/ccafl_rn50.yaml",
    "`ccafl_margin`": "market1501/ccafl_margin_rn50.yaml",
}


def tables() -> list[list[list[str]]]:
    """Of the page: rows of cells, the head first."""
    found = re.findall(r"(?:^\|.*\|\n)+", TEXT, re.MULTILINE)
    rows = [[line for line in table.splitlines() if not line.startswith("|---")] for table in found]
    return [[[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table] for table in rows]


def settings_of(name: str) -> dict[str, Any]:
    return dict(setting_leaves(load_config(configs_folder() / FILES[name])))


def resolve(dotted: str) -> object:
    """The object of a name such as ``package.module.Class.method``."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"no module of {dotted}")


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name.startswith("ccafl_plugin.")))
def test_every_function_exists(name: str) -> None:
    assert callable(resolve(name))


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name.startswith("tests/")))
def test_every_test_exists(name: str) -> None:
    file, _, function = name.partition("::")
    assert re.search(rf"^def {function}\(", (REPOSITORY / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_other_name_is_one_of_ours() -> None:
    rest = {name for name in NAMES if not name.startswith(("ccafl_plugin.", "tests/"))}
    keys = {row[0].strip("`") for table in tables() for row in table[1:] if table[0][0] == "setting"}
    files = {name for name in rest if name.startswith("configs/")}
    assert all((REPOSITORY / name).is_file() for name in files)
    assert rest - keys - files == {"ccafl_margin", "margin"}


@pytest.mark.parametrize("table", [table for table in tables() if table[0][0] == "setting"], ids=lambda t: t[1][0])
def test_settings_have_these_values(table: list[list[str]]) -> None:
    for column, name in enumerate(table[0][1:], start=1):
        settings = settings_of(name)
        for row in table[1:]:
            assert settings[row[0].strip("`")] == yaml.safe_load(row[column]), (row[0], name)


def test_our_recipe_is_shown_whole() -> None:
    (table,) = [table for table in tables() if table[0][-1] == "`ccafl_margin`"]
    paper, ours = settings_of("the paper"), settings_of("`ccafl_margin`")
    changed = {key for key in ours if ours[key] != paper[key]}
    assert {row[0].strip("`") for row in table[1:]} == changed - {"data.save_dir", "ccafl.published_settings"}


def test_equations_are_numbered_and_each_has_its_function() -> None:
    assert list(range(1, len(EQUATIONS) + 1)) == EQUATIONS
    shown: set[int] = set()
    for table in tables():
        for row in table[1:]:
            if table[0][0] == "equation":
                assert "ccafl_plugin." in row[1]
                assert "::test_" in row[2]
                numbers = [int(number) for number in re.findall(r"\((\d+)\)", row[0])]
                shown |= set(range(numbers[0], numbers[-1] + 1) if "to" in row[0] else numbers)
    assert shown == set(EQUATIONS)


def test_every_loss_is_on_the_page() -> None:
    computed = {name.split(".")[3] for name in NAMES if name.startswith("ccafl_plugin.losses.")}
    assert set(losses.__all__) - {"ICDLComponents", "InterComponents"} <= computed


def test_docstrings_name_equations_of_the_page() -> None:
    """A loss that the page names says in its docstring which of the equations it is."""
    rows = [row for table in tables() if table[0][0] == "equation" for row in table[1:]]
    for row in rows:
        numbers = re.findall(r"\(\d+\)", row[0])
        for name in re.findall(r"`(ccafl_plugin\.losses\.[\w.]+)`", row[1]):
            assert not numbers or any(number in str(resolve(name).__doc__) for number in numbers), name
