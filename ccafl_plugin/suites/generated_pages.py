"""Parts of pages that are made from committed results: between two marker lines, which stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class NothingToShow(Exception):
    """There are no results, or the document has no place for them."""


class Document(NamedTuple):
    """A document with a part that is made from results."""

    path: Path
    name: str  # of the part, in its markers
    command: str  # that writes the part
    make: Callable[[Path], str]  # the part, from the folder of results


def with_part(document: Document, folder: Path) -> str:
    """The document's text with its part made anew.

    Raises:
        NothingToShow: no results, or no markers.
    """
    begin, end = f"<!-- {document.name}: {document.command} -->", f"<!-- end of {document.name} -->"
    text = document.path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise NothingToShow(f"{document.path} needs the lines '{begin}' and '{end}', once each and in this order.")
    return f"{text.partition(begin)[0]}{begin}\n\n{document.make(folder)}\n\n{end}{text.partition(end)[2]}"


def update(document: Document, folder: Path) -> None:
    """Writes the document with its part made anew.

    Raises:
        NothingToShow: no results, or no markers.
    """
    document.path.write_text(with_part(document, folder), encoding="utf-8")
