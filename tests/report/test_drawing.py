"""Figures: well-formed, the reader's fonts, names as they are, the same bytes each time."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

from ccafl_plugin.report.drawing import absent, as_drawing, figure
from ccafl_plugin.report.page_blocks import Drawing
from tests.report.conftest import HOSTILE


def drawn() -> Drawing:
    with figure() as (made, axes):
        axes.plot([1, 2], [3, 4], label=HOSTILE)
        axes.set_title(HOSTILE)
        return as_drawing(made, "a line")


def test_text_stays_text_in_the_readers_font() -> None:
    made = drawn()
    kind, _, data = made.uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    root = ElementTree.fromstring(base64.b64decode(data))
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    assert HOSTILE in ["".join(each.itertext()) for each in texts]
    styles = [each.get("style", "") for each in texts]
    assert all("Helvetica" in style and "DejaVu" not in style for style in styles) and len(styles) > 5
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert made.width == round(3.4 * 96)


def test_equal_figures_are_equal_bytes() -> None:
    assert drawn() == drawn()


def test_an_empty_figure_says_why() -> None:
    assert absent("inter", "not in this run").alt == "inter: not in this run"
