"""Fills in the page's template. Every text is escaped, so a name with HTML in it stays text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccafl_plugin.report.page_blocks import Block, Drawing, Section

TEMPLATES = Path(__file__).resolve().parent / "template"


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: its heading.
        kind: what it is, above the heading.
        subtitle: below the heading.
        sections: numbered in their order.
        several: whether it is about several runs, which are then named.
        footer: its last line.
    """

    title: str
    kind: str
    subtitle: str
    sections: Sequence[Section]
    several: bool
    footer: str


def rendered(page: Page) -> str:
    """The page as HTML, with its style, script and pictures inside. It loads nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["runs_of_drawings"] = runs_of_drawings
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "page.js"))
    return environment.get_template("page.html").render(page=page, style=style, script=script)


def runs_of_drawings(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Neighbouring drawings together, which stand side by side; all other blocks as they come."""
    grouped = itertools.groupby(blocks, key=lambda block: isinstance(block, Drawing) and 1 + block.paired)
    return [{"drawings": kind, "paired": kind == 2, "blocks": list(members)} for kind, members in grouped]
