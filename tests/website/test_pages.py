"""The site's pages: links, formulas and navigation; building it is a step of .ci/run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.pages import HOME, REPOSITORY
from website.pages import BESIDE, in_site, link_in_site, sources

SETTINGS: dict[str, Any] = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))


def entries(navigation: list[Any]) -> list[str]:
    found: list[str] = []
    for entry in navigation:
        values = entry.values() if isinstance(entry, dict) else [entry]
        for value in values:
            found += entries(value) if isinstance(value, list) else [value]
    return found


def test_every_page_is_once_in_the_navigation() -> None:
    assert sorted(entries(SETTINGS["nav"])) == sorted([*sources(), "api/index.md"])


@pytest.mark.parametrize(
    ("address", "folder", "expected"),
    [
        ("results.md#baselines", "docs", "results.md#baselines"),
        ("#part", "docs", "#part"),
        ("../CONTRIBUTING.md#add-a-loss", "docs", "contributing.md#add-a-loss"),
        ("../README.md", "docs", f"{HOME}/blob/main/README.md"),
        ("../benchmarks/problems.py", "docs", f"{HOME}/blob/main/benchmarks/problems.py"),
        ("figures/r.svg", "docs", "figures/r.svg"),
        ("results/synthetic_choices.json", "docs", f"{HOME}/blob/main/docs/results/synthetic_choices.json"),
        ("docs/mixing.md", "", "mixing.md"),
        ("ccafl_plugin/losses/ical.py", "", f"{HOME}/blob/main/ccafl_plugin/losses/ical.py"),
        (f"{HOME}/blob/main/docs/quickstart.md#install", "docs", "quickstart.md#install"),
        ("https://arxiv.org/abs/2409.19563", "docs", "https://arxiv.org/abs/2409.19563"),
    ],
)
def test_where_links_lead(address: str, folder: str, expected: str) -> None:
    assert link_in_site(address, folder) == expected


def test_code_stays_as_it_is() -> None:
    text = "[a](../README.md) `[b](../README.md)`\n\n```sh\n[c](../README.md)\n```\n[d](x.md)\n"
    assert in_site(text, "docs").count(f"({HOME}/blob/main/README.md)") == 1
    assert "[c](../README.md)" in in_site(text, "docs")


def test_pages_of_the_checkout_exist() -> None:
    assert all((REPOSITORY / name).is_file() for name in BESIDE)
    assert all(file.is_file() for file in sources().values())


def test_every_formula_has_mathml() -> None:
    pytest.importorskip("latex2mathml", reason="needs ccafl_plugin[test]")
    from website.formulas import with_mathml

    for file in sources().values():
        text = file.read_text(encoding="utf-8")
        shown = with_mathml(text)
        numbers = re.findall(r'<div class="equation" id="equation-(\d+)">', shown)
        assert numbers == re.findall(r"\\tag\{(\d+)\}", text)
        assert bool(numbers) == (file.name == "method.md")
        assert "```math" not in shown and "$`" not in shown
        assert not re.findall(r"<(?:mi|mo|mtext|mn)[^>]*>[^<]*[\\_*`|][^<]*<", shown)


def test_a_formula_that_cannot_be_shown_is_an_error() -> None:
    pytest.importorskip("latex2mathml", reason="needs ccafl_plugin[test]")
    from website.formulas import to_mathml

    assert "<mfrac>" in to_mathml(r"\frac{1}{2}", "inline")
    with pytest.raises(ValueError, match="no MathML for the formula"):
        to_mathml(r"\nosuchcommand x", "inline")
