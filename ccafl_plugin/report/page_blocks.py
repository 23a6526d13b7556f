"""What a page consists of: sections, with a panel for each run, with figures, tables and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        uri: a data URI.
        alt: what the figure shows, for those who can't see it.
        caption: below it.
        width: its own width in CSS pixels; it is never drawn wider than a third more.
        paired: whether two stand in a row, to be compared, and not three.
    """

    kind: ClassVar[str] = "drawing"
    uri: str
    alt: str
    caption: str = ""
    width: int = 330
    paired: bool = False


@dataclass(frozen=True)
class Table:
    """A table; all columns but the first are aligned to the right.

    Attributes:
        header: of the columns; empty: none.
        rows: texts.
        caption: above it.
        words: whether all columns hold words, which are aligned to the left.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: bool = False


@dataclass(frozen=True)
class Details:
    """A table that is folded away until somebody opens it."""

    kind: ClassVar[str] = "details"
    title: str
    table: Table


@dataclass(frozen=True)
class Custom:
    """A block with a template of its own.

    Attributes:
        kind: the template is ``KIND.html``.
        content: what it shows.
    """

    kind: str
    content: Any


Block = Text | Drawing | Table | Details | Custom


@dataclass
class Panel:
    """What one run has to say in a section.

    Attributes:
        run: its name; shown if there are several runs.
        blocks: from top to bottom; drawings that follow each other stand side by side where there is room.
        missing: lines that say what is not shown and why.
    """

    run: str
    blocks: list[Block] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A numbered part of the page.

    Attributes:
        name: in links to it.
        title: its heading.
        lead: a paragraph below it.
        shared: blocks of all runs together.
        panels: one for each run, side by side where there is room.
    """

    name: str
    title: str
    lead: str = ""
    shared: list[Block] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show, not even a line about what is missing."""
        return not self.shared and not any(panel.blocks or panel.missing for panel in self.panels)
