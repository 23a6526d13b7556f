"""Links of all pages: files and headings of this repository exist; addresses elsewhere are in a list."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.pages import ABSOLUTE, HOME, REPOSITORY, leads_nowhere, links

PAGES = [
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
]
ELSEWHERE = {
    "https://arxiv.org/abs/2409.19563": "the paper",
    "https://doi.org/10.1109/TCSVT.2024.3522178": "the paper",
    "https://github.com/KaiyangZhou/deep-person-reid": "torchreid",
    "https://github.com/facebookresearch/faiss": "an index",
    "https://github.com/mikel-brostrom/boxmot": "a tracker",
    "https://milvus.io": "a server of indices",
}
"""Addresses of others that a person has opened, and what is there. Tests have no network."""


def elsewhere(page: Path) -> set[str]:
    """Addresses on a page that are not this repository's."""
    found = {link for link in links(page.read_text(encoding="utf-8")) if "://" in link}
    return {link for link in found if not link.startswith((*ABSOLUTE, f"{HOME}/issues"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    found = links(page.read_text(encoding="utf-8"))
    assert not [link for link in found if leads_nowhere(link, page)]


def test_addresses_of_others_are_in_the_list_and_nothing_else_is() -> None:
    found = set().union(*(elsewhere(page) for page in PAGES))
    assert found == set(ELSEWHERE)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_an_address_has_the_right_form(address: str) -> None:
    parts = urlsplit(address)
    assert parts.scheme == "https" and "." in parts.netloc and not re.search(r"[\s,;]|[.)]$", address)


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `word`\n\n[a](#one-word) [b](#two) `[c](#three)`\n\n```\n# Two\n[d](e.md)\n```\n")
    found = links(page.read_text())
    assert found == ["#one-word", "#two"]
    assert [link for link in found if leads_nowhere(link, page)] == ["#two"]
