"""Figures as scalable drawings inside the page, all in one style.

matplotlib draws them once. They look the same on a screen and on paper, need no script, and are a few kilobytes each.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ccafl_plugin.report.page_blocks import Drawing
from ccafl_plugin.utils.errors import CCAFLError

NEEDED = ("jinja2", "matplotlib")
"""Packages that a page is made with."""
WIDTH, HEIGHT = 3.4, 2.25
"""Of a figure in inches: a column of a paper, and a phone's width."""
LETTERS = 52
"""In a line below a figure."""
CSS_PIXELS = 96
"""Of an inch."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d5d5d", "#a6761d")
"""Okabe and Ito's, for any colour vision, with two others in the place of those that are faint on white."""
GREY, LIGHT = "#767676", "#e6e6e6"
FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
"""Of the reader's machine; the space is measured with a wider font, which matplotlib brings."""
STYLE: Mapping[str, Any] = {
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.titlesize": 8.5,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "grid.color": LIGHT,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 1.4,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "legend.columnspacing": 1.0,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.5,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "ccafl_plugin",
    "text.color": "#222222",
    "text.parse_math": False,  # names of files and runs are shown as they are
    "xtick.color": "#444444",
    "xtick.direction": "out",
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.color": "#444444",
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}
_FONT = re.compile(r"(style=\"[^\"]*)'DejaVu Sans'[^;\"]*")


def require() -> None:
    """Checks that what draws and fills in the page is installed.

    Raises:
        CCAFLError: it is not.
    """
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CCAFLError(f'A report needs {" and ".join(missing)}: pip install "ccafl_plugin[report]".')


@contextmanager
def figure(width: float = WIDTH, height: float = HEIGHT, **subplots: Any) -> Iterator[tuple[Any, Any]]:
    """A matplotlib figure in the page's style, with its axes; the style holds inside the context.

    Args:
        width, height: in inches.
        **subplots: of ``Figure.subplots``.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(dict(STYLE)):
        made = Figure(figsize=(width, height), layout="constrained")
        yield made, made.subplots(**subplots)


def as_drawing(made: Any, alt: str, caption: str = "", paired: bool = False) -> Drawing:
    """A finished figure as a part of the page, see :class:`Drawing`; to be called inside :func:`figure`."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(made)
    content = io.BytesIO()
    made.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = _FONT.sub(lambda found: found[1] + FONTS, content.getvalue().decode("utf-8"))
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return Drawing(f"data:image/svg+xml;base64,{data}", alt, caption, round(made.get_figwidth() * CSS_PIXELS), paired)


def absent(title: str, why: str) -> Drawing:
    """An empty figure, so that those of several runs stand side by side."""
    with figure() as (made, axes):
        axes.set_axis_off()
        axes.set_title(title)
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=GREY)
        return as_drawing(made, f"{title}: {why}")


def colour(place: int) -> str:
    """The colour of the run, part or camera at a place."""
    return COLOURS[place % len(COLOURS)]


def plain_numbers(axis: Any) -> None:
    """Labels of a logarithmic axis as plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    text: Callable[[float, int], str] = lambda value, _: f"{value:g}"  # noqa: E731
    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(NullFormatter())


def legend_below(made: Any, axes: Any, columns: int = 3) -> None:
    """The names of all lines, below the figure; long ones are in several lines."""
    handles, labels = axes.get_legend_handles_labels()
    wrapped = [textwrap.fill(label, LETTERS) for label in labels]
    made.legend(handles, wrapped, loc="outside lower center", ncols=columns)


def whole_numbers(axis: Any, count: int = 6) -> None:
    """Ticks of an axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=count, integer=True))


def share_stairs(axes: Any, counts: Any, edges: Any, label: str, shade: str) -> None:
    """A histogram as shares in %, filled lightly, so that two of them can be seen one over the other.

    Args:
        axes: of matplotlib.
        counts: (b,) array of numbers.
        edges: (b + 1,) array.
        label: in the legend.
        shade: colour.
    """
    share = 100 * counts / max(counts.sum(), 1)
    axes.stairs(share, edges, color=shade, label=label, fill=True, alpha=0.25)
    axes.stairs(share, edges, color=shade, linewidth=1)
