"""Draws one figure per axis of a parameter study: mAP over the values of the setting."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path

from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.suites.statistics import spread
from ccafl_plugin.suites.suite import Axis
from ccafl_plugin.utils.errors import CCAFLError

SMALLEST_SPAN = 4.0
"""Smallest range of mAP in a figure, in points, so that a small effect looks small."""

LINE = 45
"""Characters per line of the note below a figure."""


def draw_figures(outcomes: Outcomes, folder: Path) -> list[Path]:
    """Draws each axis that has results: mean and standard deviation over the seeds, one line per dataset.

    Args:
        outcomes: outcomes of a suite with axes.
        folder: folder of the files ``AXIS.svg``.

    Returns:
        The files.

    Raises:
        CCAFLError: there are results to draw, but matplotlib is not installed.
    """
    drawn = [axis for axis in outcomes.suite.axes if any(outcomes.of(row) for row in axis.rows)]
    if drawn and importlib.util.find_spec("matplotlib") is None:
        raise CCAFLError('Figures need matplotlib: pip install "ccafl_plugin[figures]".')
    return [_draw(outcomes, axis, folder) for axis in drawn]


def _draw(outcomes: Outcomes, axis: Axis, folder: Path) -> Path:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0, 3.0), layout="constrained")
    FigureCanvasSVG(figure)
    plot = figure.subplots()
    places = [float(value) if _is_number(axis.values) else index for index, value in enumerate(axis.values)]
    for pair in outcomes.pairs:
        points = [
            (place, found.mean, found.deviation or 0.0)
            for place, row in zip(places, axis.rows, strict=True)
            if (found := spread(outcomes.scores(row, pair, "mAP").values())) is not None
        ]
        if points:
            xs, means, deviations = zip(*points, strict=True)
            plot.errorbar(xs, means, deviations, marker="o", capsize=3, label=pair.label or None)
    plot.set_xticks(places, [str(value) for value in axis.values])
    plot.set_xlabel("\n".join([axis.name, *textwrap.wrap(axis.note, LINE)]))
    low, high = plot.get_ylim()
    if high - low < SMALLEST_SPAN:
        middle = (low + high) / 2
        plot.set_ylim(middle - SMALLEST_SPAN / 2, middle + SMALLEST_SPAN / 2)
    plot.set_ylabel("mAP (%)")
    plot.grid(alpha=0.3)
    if len(outcomes.pairs) > 1:
        plot.legend()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{''.join(c if c.isalnum() else '-' for c in axis.name.lower()).strip('-')}.svg"
    # Without the date and with fixed ids, the same numbers give the same file.
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": axis.name}):
        figure.savefig(file, metadata={"Date": None})
    return file


def _is_number(values: tuple[object, ...]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
