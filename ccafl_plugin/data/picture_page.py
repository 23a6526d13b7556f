"""A page of pictures to look at: a contact sheet per camera, and labels in doubt side by side."""

from __future__ import annotations

import functools
import html
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ccafl_plugin.data.crop_choice import spread
from ccafl_plugin.data.data_check import DataSet
from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole, write_whole

WIDTH, HEIGHT, GAP = 48, 96, 4
"""Of a picture on a sheet, in pixels."""

PER_ID, IDS = 6, 40
"""Pictures of an id, and ids of a camera, spread over all."""

LABEL_HEIGHT = 12


def write_page(folder: Path, data: DataSet, lines: Sequence[str], doubts: Sequence[tuple[str, Sequence[str]]]) -> Path:
    """Writes ``index.html`` with a picture file per camera.

    Args:
        folder: made if it is missing.
        data: the lists.
        lines: the report, shown above the pictures.
        doubts: (what is in doubt, paths of the images to compare) of each doubt.

    Returns:
        The page.

    Raises:
        CCAFLError: the folder can't be written.
    """
    body = [f"<pre>{html.escape(chr(10).join(lines))}</pre>"]
    try:
        if doubts:
            write_whole(folder / "doubts.jpg", lambda path: _save(_rows(list(doubts)), path))
            body.append('<h2>Labels in doubt</h2><img src="doubts.jpg" alt="labels in doubt">')
        for number, (_, camera) in enumerate(data.labels.cameras):
            name = f"camera-{number + 1}.jpg"
            sheet = camera_sheet(data, number)
            write_whole(folder / name, functools.partial(_save, sheet))
            title = html.escape(data.camera(camera))
            body.append(f'<h2>{title}</h2><img src="{name}" alt="{title}">')
        page = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Data check</title>' + "\n".join(body)
        write_text_whole(folder / "index.html", page + "</html>\n")
    except OSError as error:
        raise CCAFLError(f"--out: {folder} can't be written: {error.strerror or error}.") from error
    return folder / "index.html"


def camera_sheet(data: DataSet, camera: int) -> Image.Image:
    """Ids in rows, images from the first to the last of each; a row is headed by the id and its number of images.

    Args:
        data: the lists.
        camera: number of the camera in ``data.labels``.
    """
    labels = data.labels
    first = int(labels.offsets[camera])
    rows = []
    for proxy in spread(range(first, first + int(labels.proxies_per_camera[camera])), IDS):
        images = labels.images_of_proxy(proxy)
        paths = [data.train[image][0] for image in spread(images, PER_ID)]
        rows.append((f"{data.id(data.train[images[0]][1])} ({len(images)})", paths))
    return _rows(rows)


def _rows(rows: Sequence[tuple[str, Sequence[str]]]) -> Image.Image:
    columns = max(len(paths) for _, paths in rows)
    step = HEIGHT + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (max(columns * (WIDTH + GAP) + GAP, 480), len(rows) * step + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (title, paths) in enumerate(rows):
        top = GAP + row * step
        draw.text((GAP, top), title.encode("latin-1", "replace").decode("latin-1"), fill="black")
        for column, path in enumerate(paths):
            place = (GAP + column * (WIDTH + GAP), top + LABEL_HEIGHT)
            try:
                sheet.paste(read_image(path).resize((WIDTH, HEIGHT)), place)
            except CCAFLError:  # it is named in the report
                draw.rectangle((*place, place[0] + WIDTH, place[1] + HEIGHT), outline="red")
    return sheet


def _save(sheet: Image.Image, path: Path) -> None:
    with open(os.fspath(path), "wb") as opened:
        sheet.save(opened, format="JPEG", quality=85)
