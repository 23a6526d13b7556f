"""Pages of the documentation, read as a reader's browser does: code blocks, and where links lead in this checkout."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
HOME = "https://github.com/ccafl-plugin/ccafl_plugin"
ABSOLUTE = (f"{HOME}/blob/main/", f"{HOME}/raw/main/")
"""Prefixes of links to files of this repository that work on any page of the web."""


def commands(text: str) -> list[str]:
    """The lines of a page's blocks of shell commands."""
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def links(text: str) -> list[str]:
    """Addresses of a page's links and pictures, those inside the page among them; what is in code is no link."""
    shown = re.sub(r"^```.*?^```$|`[^`\n]+`", "`", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)\s]+)\)", shown)


def leads_nowhere(link: str, page: Path) -> bool:
    """Whether a link to a file of this repository names a file, or a heading in it, that is not there.

    Links inside a page are links to its own headings.
    """
    address, _, anchor = link.partition("#")
    for prefix in ABSOLUTE:
        if address.startswith(prefix):
            file = REPOSITORY / address.removeprefix(prefix)
            break
    else:
        if "://" in address:
            return False
        file = page.parent / address if address else page
    if not file.exists():
        return True
    return bool(anchor) and anchor not in anchors(file.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}
