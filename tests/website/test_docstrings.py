"""Docstrings as the API reference reads them: arguments that exist, names that lead somewhere, all public objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

griffe = pytest.importorskip("griffe", reason="needs ccafl_plugin[test]")

from tests.pages import REPOSITORY  # noqa: E402
from website.docstrings import Docstrings  # noqa: E402
from website.reference import file_of, modules, navigation, offered_by, page_of, read_package, with_references  # noqa: E402


@pytest.fixture(scope="module")
def read() -> tuple[Any, list[str]]:
    """The package, and what is wrong with its docstrings."""
    return read_package()


@pytest.fixture(scope="module")
def package(read: tuple[Any, list[str]]) -> Any:
    return read[0]


def test_nothing_is_wrong_with_any_docstring(read: tuple[Any, list[str]]) -> None:
    assert not read[1]


def test_every_public_module_has_a_page(package: Any) -> None:
    pages = {file_of(module) for module in modules(package)}
    files = [file.relative_to(REPOSITORY / "ccafl_plugin") for file in (REPOSITORY / "ccafl_plugin").rglob("*.py")]
    public = [file for file in files if not any(part.startswith("_") and part != "__init__.py" for part in file.parts)]
    expected = {str(file).replace("__init__.py", "index.py").removesuffix(".py") for file in public}
    assert {page.removeprefix("api/").removesuffix(".md") for page in pages} == expected
    listed = str(navigation(package))
    assert all(f"'{page}'" in listed for page in pages)


def test_every_function_and_class_has_a_docstring(package: Any) -> None:
    """So each has its place in the reference."""
    silent = [
        member.path
        for module in modules(package)
        for name, member in module.members.items()
        if not member.is_alias and (member.is_function or member.is_class) and not name.startswith("_")
        if not member.docstring
    ]
    assert not silent


def test_a_folder_shows_what_it_offers(package: Any) -> None:
    losses = package["losses"]
    offered = dict(offered_by(losses))
    assert offered["ICALLoss"].path == "ccafl_plugin.losses.ical.ICALLoss"
    assert dict(offered_by(package["association"]))["margin"].path == "ccafl_plugin.association.margin.margin"
    assert "| [`ICALLoss`][ccafl_plugin.losses.ical.ICALLoss] |" in page_of(losses)
    assert "| [`ccafl_plugin.losses.ICALLoss`][ccafl_plugin.losses.ical.ICALLoss] |" in page_of(package)
    assert "(../method.md#equation-21)" in page_of(package) and "(../../method.md#equation-21)" in page_of(losses)
    assert "::: ccafl_plugin.losses.ical\n" in page_of(package["losses.ical"])


def test_names_on_a_page_lead_to_the_reference(package: Any) -> None:
    text = (
        "`ccafl_plugin.losses.ICALLoss`, [`ccafl_plugin.losses`](x.md), `ccafl_plugin.no_such_thing`\n"
        "```\n`ccafl_plugin.losses.ICALLoss`\n```\n"
    )
    shown = "[`ccafl_plugin.losses.ICALLoss`][ccafl_plugin.losses.ical.ICALLoss]"
    assert with_references(text, package) == text.replace("`ccafl_plugin.losses.ICALLoss`", shown, 1)


SOURCE = '''
"""Things.

Example::

    made = make(1)
"""

class Base:
    """A base."""

    def act(self, low, high):
        """Acts as ``low`` says, see :func:`make` and docs/method.md (21).

        Args:
            low, high: ends.
        """

class Made(Base):
    """Made by :func:`~things.make`, never by :func:`nobody`."""

    def act(self, low, high):
        return low

def make(number):
    """Makes.

    Args:
        numbers: of things.
    """
'''


def test_roles_examples_and_inherited_methods(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "things.py").write_text(SOURCE)
    package = griffe.load("things", search_paths=[tmp_path], extensions=griffe.load_extensions(Docstrings))
    assert "```python\nmade = make(1)\n```" in package.docstring.value
    acts = package["Base.act"].docstring
    assert "[`make`][things.make] and [docs/method.md (21)](method.md#equation-21)" in acts.value
    assert [parameter.name for section in acts.parse("google")[1:] for parameter in section.value] == ["low", "high"]
    assert package["Made"].docstring.value == "Made by [`make`][things.make], never by `nobody`."
    assert package["Made.act"].docstring.value == "This class's version of [`Base.act`][things.Base.act]."
    assert "things.Made: nothing is called :func:`nobody`" in caplog.text
    package["make"].docstring.parse("google")
    assert "Parameter 'numbers' does not appear in the function signature" in caplog.text
