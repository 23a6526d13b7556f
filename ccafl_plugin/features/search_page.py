"""The results of searches as a picture: a row per query, what was found beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.features.search_index import Hit
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole, write_whole

WIDTH, HEIGHT, GAP, LINE = 64, 128, 6, 12
"""Of a picture on the sheet, the space between two, and a line of text, in pixels."""
LINES = 4
"""Of text below a picture, at most."""
LETTERS = WIDTH // 6
"""That fit below a picture."""
PICTURES = (".jpg", ".jpeg")
PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Found:
    """A query and what was found for it.

    Attributes:
        name: of the query: its path, or the text.
        picture: its path; empty for a text.
        hits: the most similar first.
        marks: a word beside each hit, such as the false-accept rate that it passes; may be empty.
    """

    name: str
    picture: str
    hits: Sequence[Hit]
    marks: Sequence[str]


def check_page(file: str) -> None:
    """Refuses a name whose ending is neither a page's nor a picture's.

    Raises:
        CCAFLError: it is neither.
    """
    if Path(file).suffix.lower() not in (*PICTURES, *PAGES):
        raise CCAFLError(f"--page: {file!r} must end in .html or .jpg.")


def write_page(file: Path, results: Sequence[Found]) -> None:
    """Writes the results: a picture, or a page that holds the pictures itself.

    Args:
        file: ending in .jpg, or in .html.
        results: at least one.

    Raises:
        CCAFLError: it can't be written, or has another ending.
    """
    check_page(file.name)
    try:
        if file.suffix.lower() in PICTURES:
            picture = sheet(results)
            write_whole(file, lambda partial: picture.save(partial, format="JPEG", quality=85))
        else:
            write_text_whole(file, _page(results))
    except OSError as error:
        raise CCAFLError(f"--page: {file} can't be written: {error.strerror or error}. Name another file.") from error


def sheet(results: Sequence[Found]) -> Image.Image:
    """A row per query: the query, a line, and the images that were found, the most similar first."""
    columns = 1 + max((len(found.hits) for found in results), default=0)
    step = HEIGHT + LINES * LINE + GAP
    made = Image.new("RGB", (columns * (WIDTH + GAP) + 3 * GAP, max(1, len(results)) * step + GAP), "white")
    draw = ImageDraw.Draw(made)
    for row, found in enumerate(results):
        top = GAP + row * step
        name = Path(found.name).name if found.picture else found.name
        _paste(made, draw, found.picture, (GAP, top), name, ["query"])
        draw.line((WIDTH + 2 * GAP, top, WIDTH + 2 * GAP, top + HEIGHT), fill="black", width=2)
        for column, (hit, mark) in enumerate(zip(found.hits, found.marks, strict=True), start=1):
            place = (2 * GAP + column * (WIDTH + GAP), top)
            facts = hit.facts
            camera = f"cam {facts['camera']}" if "camera" in facts else ""
            lines = [f"{hit.similarity:.3f}", mark and f"at {mark}", camera, _who(hit)]
            _paste(made, draw, str(facts["path"]), place, Path(str(facts["path"])).name, lines)
    return made


def _paste(
    made: Image.Image, draw: ImageDraw.ImageDraw, path: str, place: tuple[int, int], name: str, lines: Sequence[str]
) -> None:
    left, top = place
    try:
        if not path:
            raise CCAFLError("a text has no picture")
        made.paste(read_image(path).resize((WIDTH, HEIGHT)), place)
    except CCAFLError:
        draw.rectangle((left, top, left + WIDTH, top + HEIGHT), outline="grey")
        for line, start in enumerate(range(0, min(len(name), 9 * LETTERS), LETTERS)):
            draw.text((left + 2, top + 2 + line * LINE), _drawable(name[start : start + LETTERS]), fill="black")
    for line, text in enumerate(text for text in lines if text):
        draw.text((left, top + HEIGHT + line * LINE), _drawable(text[: LETTERS + 1]), fill="black")


def _who(hit: Hit) -> str:
    return str(hit.facts.get("id", hit.facts.get("track", "")))


def _drawable(text: str) -> str:
    """Pillow's own font has Latin-1 only."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _page(results: Sequence[Found]) -> str:
    body = []
    for found in results:
        cells = [_cell(found.picture, ["query", found.name])]
        for hit, mark in zip(found.hits, found.marks, strict=True):
            facts = [f"{name} {value}" for name, value in hit.facts.items() if name != "path"]
            cells.append(
                _cell(str(hit.facts["path"]), [f"{hit.similarity:.4f} {mark}", *facts, str(hit.facts["path"])])
            )
        body.append(f'<div class="row">{"".join(cells)}</div>')
    style = (
        ".row{display:flex;flex-wrap:wrap;border-bottom:1px solid #999;padding:6px}"
        "figure{margin:4px;width:128px;font:12px sans-serif;overflow-wrap:anywhere}"
        "figure:first-child{outline:2px solid #000}img{width:128px;height:256px;object-fit:contain}"
    )
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Search</title><style>{style}</style>'
    return head + "\n".join(body) + "</html>\n"


def _cell(path: str, lines: Sequence[str]) -> str:
    picture = ""
    if path:
        try:
            content = io.BytesIO()
            read_image(path).resize((2 * WIDTH, 2 * HEIGHT)).save(content, format="JPEG", quality=80)
            data = base64.b64encode(content.getvalue()).decode("ascii")
            picture = f'<img alt="" src="data:image/jpeg;base64,{data}">'
        except CCAFLError:
            picture = "<p>(the image can't be read any more)</p>"
    return f"<figure>{picture}<figcaption>{'<br>'.join(map(html.escape, lines))}</figcaption></figure>"
