"""Pictures of people, small, inside the page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.utils.errors import CCAFLError

SIZE = (64, 128)
"""Width and height in pixels; smaller than what is trained on, and enough to tell who it is."""
QUALITY = 82
BUDGET = 9_000_000
"""Bytes of all pictures of a page, so that with its figures it stays below 15 MB."""


class Pictures:
    """Reads pictures as data URIs, until the page's budget is used up.

    Attributes:
        used: bytes so far.
        unreadable: how many could not be read.
        refused: how many did not fit any more.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget, self.used, self.unreadable, self.refused = budget, 0, 0, 0

    def read(self, path: str) -> str:
        """A data URI; empty if the file can't be read, or the page is full."""
        if self.used >= self.budget:
            self.refused += 1
            return ""
        try:
            picture = read_image(path).resize(SIZE, Image.Resampling.LANCZOS)
        except CCAFLError:
            self.unreadable += 1
            return ""
        return self.keep(picture)

    def keep(self, picture: Image.Image) -> str:
        """A data URI of a picture in memory; empty if the page is full."""
        content = io.BytesIO()
        picture.save(content, format="JPEG", quality=QUALITY)
        uri = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
        if self.used + len(uri) > self.budget:
            self.refused += 1
            return ""
        self.used += len(uri)
        return uri

    def lines(self) -> list[str]:
        """What is to be said about those that are not shown."""
        found = []
        if self.unreadable:
            found.append(f"{self.unreadable} pictures could not be read; their names stand in their places.")
        if self.refused:
            found.append(f"{self.refused} pictures are left out, so that the page stays below 15 MB.")
        return found
