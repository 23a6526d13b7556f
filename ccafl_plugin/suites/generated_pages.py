"""Parts of documents that are generated from committed results, between two marker lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class NothingToShow(Exception):
    """There are no results, or the document has no markers for them."""


class Document(NamedTuple):
    """A document with a part that is generated from results."""

    path: Path
    name: str  # name of the part, in its markers
    command: str  # command that writes the part
    make: Callable[[Path], str]  # creates the part from the folder of results


def with_part(document: Document, folder: Path) -> str:
    """The document's text with the part generated again.

    Raises:
        NothingToShow: there are no results, or no markers.
    """
    begin, end = f"<!-- {document.name}: {document.command} -->", f"<!-- end of {document.name} -->"
    text = document.path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise NothingToShow(f"{document.path} needs the lines '{begin}' and '{end}', each once and in this order.")
    return f"{text.partition(begin)[0]}{begin}\n\n{document.make(folder)}\n\n{end}{text.partition(end)[2]}"


def update(document: Document, folder: Path) -> None:
    """Writes the document with the part generated again.

    Raises:
        NothingToShow: there are no results, or no markers.
    """
    document.path.write_text(with_part(document, folder), encoding="utf-8")
