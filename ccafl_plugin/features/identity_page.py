"""A page of pictures: groups of tracks that are one identity, and the links that are least certain."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ccafl_plugin.data.crop_choice import spread
from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.features.identities import Identities
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole

PAGE = "page.html"
PER_TRACK = 3
"""Images of a track, spread over it."""
TRACKS = 12
"""Tracks of a group, the first ones; the number of the others is said."""
SIZE = (64, 128)
"""Largest width and height of a picture, in pixels."""

STYLE = (
    "body{font:14px sans-serif;margin:1em}section{border-top:1px solid #999;padding:4px 0}"
    "figure{display:inline-block;margin:4px 10px 4px 0;vertical-align:top}figcaption{font-size:12px;max-width:210px;"
    "overflow-wrap:anywhere}img,i{width:64px;height:128px;object-fit:contain;background:#eee;margin-right:2px}"
    "i{display:inline-block;font-size:11px}"
)


def write_page(
    file: Path, identities: Identities, paths: Sequence[str], lines: Sequence[str], groups: int = 40, links: int = 40
) -> int:
    """Writes a page that holds its pictures itself.

    Args:
        file: the page.
        identities: what to show.
        paths: of the images, by the rows of the feature set.
        lines: what was printed, shown above the pictures.
        groups: how many groups to show, spread from the least to the most certain by their weakest link.
        links: how many links to show, the least certain first.

    Returns:
        Number of pictures that could not be read; the page has an empty box in their place.

    Raises:
        OSError: the page can't be written.
    """
    pictures = _Pictures(paths)
    body = [f"<pre>{html.escape(chr(10).join(lines))}</pre>"]
    body += _links_part(identities, pictures, links) + _groups_part(identities, pictures, groups)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Identities across cameras</title>'
    write_text_whole(file, f"{head}<style>{STYLE}</style>\n" + "\n".join(body) + "\n</html>\n")
    return pictures.unreadable


class _Pictures:
    """Pictures of tracks as parts of a page."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths, self.unreadable = paths, 0

    def of_track(self, identities: Identities, track: int) -> str:
        tracks = identities.tracks
        confidence = float(identities.links.of_proxy[track])
        said = f"{tracks.cameras[track]}: {tracks.names[track]}"
        said += "" if np.isnan(confidence) else f" ({confidence:.3f})"
        images = "".join(self._image(self.paths[row]) for row in spread(tracks.images[track].tolist(), PER_TRACK))
        return f"<figure>{images}<figcaption>{html.escape(said)}</figcaption></figure>"

    def _image(self, path: str) -> str:
        try:
            picture = read_image(path)
        except CCAFLError:
            self.unreadable += 1
            return f"<i>{html.escape(Path(path).name)}</i>"
        picture.thumbnail(SIZE, Image.Resampling.BILINEAR)
        content = io.BytesIO()
        picture.save(content, format="JPEG", quality=80)
        return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode("ascii")}">'


def _links_part(identities: Identities, pictures: _Pictures, count: int) -> list[str]:
    links = identities.links
    shown = np.argsort(links.confidence, kind="stable")[:count].tolist()
    if not shown:
        return []
    parts = [f"<h2>Least certain links ({len(shown)} of {len(links.first)})</h2>"]
    for place in shown:
        ends = (int(links.first[place]), int(links.second[place]))
        said = f"identity {int(identities.identity[ends[0]])}, confidence {links.confidence[place]:.3f}"
        figures = "".join(pictures.of_track(identities, track) for track in ends)
        parts.append(f"<section><div>{said}, cosine {links.cosine[place]:.3f}</div>{figures}</section>")
    return parts


def _groups_part(identities: Identities, pictures: _Pictures, count: int) -> list[str]:
    groups = identities.groups
    weakest = dict.fromkeys(range(len(identities.tracks) + 1), np.inf)
    for first, confidence in zip(identities.links.first.tolist(), identities.links.confidence.tolist(), strict=True):
        identity = int(identities.identity[first])
        weakest[identity] = min(weakest[identity], confidence)
    ordered = sorted(groups, key=lambda tracks: weakest[int(identities.identity[tracks[0]])])
    shown = spread(ordered, count) if count else []
    if not shown:
        return []
    parts = [f"<h2>Identities with several tracks ({len(shown)} of {len(groups)}, the least certain first)</h2>"]
    for tracks in shown:
        identity = int(identities.identity[tracks[0]])
        said = f"identity {identity}, {len(tracks)} tracks, weakest link {weakest[identity]:.3f}"
        figures = "".join(pictures.of_track(identities, track) for track in tracks[:TRACKS])
        more = f" and {len(tracks) - TRACKS} more tracks" if len(tracks) > TRACKS else ""
        parts.append(f"<section><div>{said}</div>{figures}{more}</section>")
    return parts
