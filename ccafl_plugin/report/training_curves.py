"""Training curves: every part of every term, the epochs in which it is active, and the learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ccafl_plugin.report.drawing import (
    COLOURS,
    GREY,
    absent,
    as_drawing,
    colour,
    figure,
    legend_below,
    plain_numbers,
    whole_numbers,
)
from ccafl_plugin.report.page_blocks import Drawing, Panel, Section
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.scalars import Series, below

NOT_LOSSES = ("time", "data", "lr")
"""What torchreid's loop logs beside the losses."""
POINTS = 160
"""Of the faint line that shows single iterations, at most."""

APART = 15
"""How many times larger the mean of one part of a term may be than that of another on a linear axis."""

LEAD = (
    "The strong line is the mean of an epoch, the faint line the mean of a few iterations. A shaded band marks the "
    "epochs in which a term is active. Parts are shown without their weights; a part called total is their weighted "
    "sum. Where parts of a term differ much in size, the axis is logarithmic."
)


def training_section(runs: Sequence[RecordedRun]) -> Section:
    """The curves of all runs. With several, a figure has the same scale in all of them."""
    groups = {run.path: loss_groups(run) for run in runs}
    names = list(dict.fromkeys(name for found in groups.values() for name in found))
    limits = {name: _limits([groups[run.path].get(name, {}) for run in runs]) for name in names}
    rows = max((len(_rows_of(run)) for run in runs), default=0)
    any_stage1 = any("Stage1/loss" in run.scalars for run in runs)
    panels = []
    for run in runs:
        panel = Panel(run.name)
        if windows_of(run):
            panel.blocks.append(windows_drawing(run, rows))
        if stage1 := run.scalars.get("Stage1/loss"):
            panel.blocks.append(stage1_drawing(stage1))
        elif any_stage1 and groups[run.path]:
            panel.blocks.append(absent("stage 1", "not in this run"))
        for name in names:
            if groups[run.path].get(name):
                panel.blocks.append(curves_drawing(run, name, groups[run.path][name], limits[name]))
            elif groups[run.path]:
                panel.blocks.append(absent(name, "not in this run"))
        panel.blocks += [*rate_drawings(run), *test_drawings(run), *label_drawings(run)]
        if not panel.blocks:
            panel.missing.append("No training curves: the run has logged no numbers.")
        panels.append(panel)
    stands = any(_is_under_way(run) for run in runs)
    return Section("training", "Training", LEAD + stands * " A dotted line marks where the run stands.", panels=panels)


def loss_groups(run: RecordedRun) -> dict[str, dict[str, Series]]:
    """Term -> part -> its values; the total loss comes first, terms in the order of their start."""
    train = {name: series for name, series in below(run.scalars, "Train").items() if name not in NOT_LOSSES}
    found: dict[str, dict[str, Series]] = {}
    for name, series in sorted(train.items(), key=lambda each: each[1].steps[:1]):
        term, _, part = name.rpartition("/")
        found.setdefault(term or name, {})[part] = series
    first = {"loss": found.pop("loss")} if "loss" in found else {}
    return first | found


def windows_of(run: RecordedRun) -> dict[str, tuple[int, int]]:
    """Term -> (epochs before it starts, epochs until its end) of the terms that are active at some time."""
    config = run.config
    if config is None or config.loss.name != "ccafl":
        return {}
    found = {}
    for name, term in config.ccafl.terms.items():
        end = run.epochs if term.last_epoch < 0 else min(term.last_epoch + 1, run.epochs)
        if term.enabled and term.first_epoch < end:
            found[name] = (int(term.first_epoch), int(end))
    return dict(sorted(found.items(), key=lambda each: each[1]))


def _rows_of(run: RecordedRun) -> list[str]:
    return [*(["stage 1 (prompts)"] if "Stage1/loss" in run.scalars else []), *windows_of(run)]


def windows_drawing(run: RecordedRun, height: int = 0) -> Drawing:
    """A bar per term over the epochs in which it is active, and stage 1 before them.

    Args:
        run: the run.
        height: rows that there is to be room for.
    """
    windows, rows = windows_of(run), _rows_of(run)
    stage1 = len(rows) > len(windows)
    with figure(height=0.75 + 0.2 * max(len(rows), height)) as (made, axes):
        before = max(1.0, 0.12 * run.epochs)
        for row, name in enumerate(rows):
            start, end = windows.get(name, (-before, 0))
            axes.barh(row, end - start, left=start, height=0.55, color=GREY if name not in windows else COLOURS[0])
        if stage1:
            axes.axvline(0, color=GREY, linewidth=0.6, linestyle=(0, (3, 2)))
        _mark_progress(axes, run)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(max(len(rows), height) - 0.5, -0.6)
        axes.set_xlim(-before if stage1 else 0, run.epochs)
        axes.set_xticks([tick for tick in axes.get_xticks() if tick >= 0 and tick == int(tick)])
        axes.set_xlim(-before if stage1 else 0, run.epochs)
        axes.grid(False, axis="y")
        axes.set_xlabel("epoch")
        axes.set_title("When each term is active")
        alt = "; ".join(f"{name}: epochs {start} to {end}" for name, (start, end) in windows.items())
        return as_drawing(made, f"Active epochs of each term. {alt}")


def curves_drawing(
    run: RecordedRun, term: str, parts: Mapping[str, Series], limits: tuple[float, float] | None = None
) -> Drawing:
    """All parts of a term over the epochs."""
    per_epoch = run.iterations() or 1.0
    with figure() as (made, axes):
        window = windows_of(run).get(term)
        if window:
            axes.axvspan(*window, color="#eef3f8", linewidth=0, zorder=0)
        for place, (part, series) in enumerate(parts.items()):
            steps, values = np.array(series.steps), np.array(series.values)
            if not len(steps):
                continue
            faint = binned((steps + 0.5) / per_epoch, values, POINTS)
            means = by_epoch(steps, values, per_epoch)
            axes.plot(*faint, color=colour(place), linewidth=0.6, alpha=0.35)
            axes.plot(
                *means, color=colour(place), label=part, marker="o" if len(means[0]) == 1 else None, markersize=2.5
            )
        _mark_progress(axes, run)
        axes.set_xlim(0, max(run.epochs, 1) if run.epochs else None)
        if limits and limits[0] > 0:
            axes.set_yscale("log")
            plain_numbers(axes.yaxis)
        if limits:
            axes.set_ylim(*limits)
        whole_numbers(axes.xaxis)
        axes.set_xlabel("epoch")
        axes.set_title(title_of(term, parts))
        if len(parts) > 1:
            legend_below(made, axes)
        alt = ", ".join(f"{part} ends at {series.values[-1]:.3g}" for part, series in parts.items() if series.values)
        return as_drawing(made, f"{term} over the epochs: {alt}")


def title_of(term: str, parts: Mapping[str, Series]) -> str:
    """The term, with its part if it has only one."""
    if term == "loss":
        return "total loss"
    (only,) = parts if len(parts) == 1 else ("",)
    return f"{term}: {only}" if only and only != term else term


def stage1_drawing(loss: Series) -> Drawing:
    """The loss of the prompts over the epochs of stage 1."""
    with figure() as (made, axes):
        axes.plot(np.array(loss.steps) + 1, loss.values, color=COLOURS[0])
        whole_numbers(axes.xaxis)
        axes.set_xlabel("epoch of stage 1")
        axes.set_title("stage 1: loss of the prompts")
        ends = f"from {loss.values[0]:.3g} to {loss.values[-1]:.3g}" if loss.values else "no value"
        return as_drawing(made, f"Loss of the prompts over the epochs of stage 1: {ends}")


def rate_drawings(run: RecordedRun) -> list[Drawing]:
    """The learning rate of each group of parameters."""
    rates = below(run.scalars, "Learning_rate") or {
        name: series for name, series in below(run.scalars, "Train").items() if name == "lr"
    }
    if not any(series.values for series in rates.values()):
        return []
    per_epoch = 1.0 if "lr" not in rates else run.iterations() or 1.0
    with figure() as (made, axes):
        for place, (name, series) in enumerate(rates.items()):
            x = np.array([*series.steps, *(step + 1 for step in series.steps[-1:])]) / per_epoch
            axes.step(x, [*series.values, *series.values[-1:]], where="post", color=colour(place), label=name)
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
        axes.set_xlim(0, run.epochs or None)
        whole_numbers(axes.xaxis)
        axes.set_xlabel("epoch")
        axes.set_title("learning rate")
        if len(rates) > 1:
            legend_below(made, axes)
        return [as_drawing(made, f"Learning rate over the epochs of {', '.join(rates)}")]


def test_drawings(run: RecordedRun) -> list[Drawing]:
    """Scores of the tests during training, if there was more than one."""
    tests = {name: series for name, series in below(run.scalars, "Test").items() if len(series.steps) > 1}
    if not tests:
        return []
    with figure() as (made, axes):
        for place, (name, series) in enumerate(tests.items()):
            axes.plot(
                np.array(series.steps) + 1, 100 * np.array(series.values), color=colour(place), label=name, marker="."
            )
        axes.set_ylim(0, 100)
        axes.set_xlim(0, run.epochs or None)
        whole_numbers(axes.xaxis)
        axes.set_xlabel("epoch")
        axes.set_title("tests during training (%)")
        legend_below(made, axes, 2)
        return [as_drawing(made, "Scores of the tests during training")]


def label_drawings(run: RecordedRun) -> list[Drawing]:
    """What the filter of doubtful labels left out."""
    facts = below(run.scalars, "Labels")
    if not any(series.values for series in facts.values()):
        return []
    with figure() as (made, axes):
        for place, (name, series) in enumerate(facts.items()):
            axes.plot(
                np.array(series.steps), series.values, color=colour(place), label=name.replace("_", " "), marker="."
            )
        axes.set_xlim(0, run.epochs or None)
        axes.set_ylim(bottom=0)
        whole_numbers(axes.xaxis)
        axes.set_xlabel("epoch")
        axes.set_title("images whose label is in doubt")
        legend_below(made, axes, 2)
        return [as_drawing(made, "Images that are left out because their label is in doubt, over the epochs")]


def binned(x: Any, y: Any, count: int) -> tuple[Any, Any]:
    """Means of neighbouring points, at most ``count``; (n,) arrays in the order of x."""
    if len(x) <= count:
        return x, y
    edges = np.linspace(0, len(x), count + 1).astype(int)
    sizes = np.diff(edges)
    return np.add.reduceat(x, edges[:-1]) / sizes, np.add.reduceat(y, edges[:-1]) / sizes


def by_epoch(steps: Any, values: Any, per_epoch: float) -> tuple[Any, Any]:
    """(middle of each epoch, mean of its values), of the epochs that have any."""
    epoch = np.floor((steps + 0.5) / per_epoch).astype(int)
    found, place = np.unique(epoch, return_inverse=True)
    return found + 0.5, np.bincount(place, weights=values) / np.bincount(place)


def _limits(groups: Sequence[Mapping[str, Series]]) -> tuple[float, float] | None:
    """Limits that hold nearly all values of a term in all runs; the highest are those of its first iterations.

    The lower limit is above 0 where the axis is to be logarithmic: parts of one term differ by more than :data:`APART`.
    """
    series = [np.array(each.values) for parts in groups for each in parts.values() if each.values]
    if not series:
        return None
    values = np.concatenate(series)
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    means = [float(each.mean()) for each in series]
    if low > 0 and max(means) > APART * min(means):
        return float(np.percentile(values, 0.5)) / 1.2, 1.2 * high
    margin = 0.05 * (high - low) or 0.5
    return (0.0 if -margin < low else low - margin), high + margin


def _mark_progress(axes: Any, run: RecordedRun) -> None:
    """A line where a run stands that has not finished."""
    if _is_under_way(run):
        axes.axvline(run.finished_epochs, color=COLOURS[1], linewidth=0.8, linestyle=(0, (2, 2)))


def _is_under_way(run: RecordedRun) -> bool:
    return not run.is_finished and 0 < run.finished_epochs < run.epochs
