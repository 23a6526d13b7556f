"""docs/troubleshooting.md has the messages that the code has."""

from __future__ import annotations

import ast
import re

import pytest

from tests.layouts_torchreid import REPOSITORY
from tools.troubleshooting_page import FILE, by_area, listing, messages_of

TEXT = FILE.read_text(encoding="utf-8")
EXPLAINED = re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE)
IN_CODE = [text for texts in by_area().values() for text in texts]


def test_the_list_is_that_of_the_code() -> None:
    assert listing() in TEXT, "run python tools/troubleshooting_page.py --write"


@pytest.mark.parametrize("message", EXPLAINED)
def test_an_explained_message_exists(message: str) -> None:
    assert any(message in text.replace("`", "'") for text in IN_CODE)


def test_many_are_explained() -> None:
    assert len(EXPLAINED) == len(set(EXPLAINED)) >= 25


def test_templates_of_a_module() -> None:
    source = """
raise CCAFLError(f"{key}: {value!r} is out of range, it must be {allowed}.")
raise unknown_name("model.name", name, NAMES)
raise WrongArgument("{batch_size}: too " + "large by " + str(n) + " images.")
raise CCAFLError(f"{error}")
raise KeyError("not one of ours, whatever it says")
"""
    assert list(messages_of(ast.parse(source))) == [
        "…: … is out of range, it must be ….",
        "model.name: … is not available. Choose one of: ….",
        "{batch_size}: too large by … images.",
    ]


def test_settings_that_the_page_names_exist() -> None:
    written = TEXT.split("## All messages")[0]
    keys = set(re.findall(r"`((?:train|test|model|data|ccafl|sampler)\.[a-z_.]+)[` ]", written))
    reference = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert keys and not [key for key in keys if f"`{key}`" not in reference and f"{key}." not in reference]
