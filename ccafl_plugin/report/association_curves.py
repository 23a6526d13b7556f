"""The association over the epochs: groups, shares, stability, and how right it is where true identities are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccafl_plugin.report.drawing import GREY, as_drawing, colour, figure, legend_below, whole_numbers
from ccafl_plugin.report.page_blocks import Drawing, Panel, Section
from ccafl_plugin.report.recorded_run import RecordedRun

LEAD = (
    "A proxy is one person in one camera. At the start of an epoch, proxies of different cameras that are taken for "
    "one person are given one pseudo identity."
)
SHARES = {"grouped": "proxies in a group", "stability": "pairs that stayed"}
CAMERA = {"camera_accuracy": "camera of a proxy", "camera_chance": "chance"}
RIGHT = {"precision": "precision of pairs", "recall": "recall of pairs"}


def association_section(runs: Sequence[RecordedRun]) -> Section:
    """What became of the association in each run."""
    section = Section("association", "Association across cameras", LEAD)
    for run in runs:
        panel, history = Panel(run.name), run.history
        if history:
            panel.blocks += [counts_drawing(run, history), *share_drawings(run, history), *size_drawings(history)]
            if not any("stability" in entry for entry in history) and any("precision" in entry for entry in history):
                panel.missing.append("Stability and sizes of groups are not recorded: an older version made the run.")
        else:
            panel.missing.append(no_association(run))
        section.panels.append(panel)
    return section


def no_association(run: RecordedRun) -> str:
    """Why there is nothing to show."""
    if run.config is not None and run.config.loss.name != "ccafl":
        return f"No association: {run.config.loss.name} trains with labels across cameras."
    if not run.finished_epochs:
        return "No association: the run has finished no epoch."
    return "No association: no term that needs one was active in the epochs so far."


def counts_drawing(run: RecordedRun, history: Sequence[Mapping[str, Any]]) -> Drawing:
    """Pseudo identities, groups and proxies over the epochs."""
    training = run.of_results("training_set")
    with figure() as (made, axes):
        for place, (key, label) in enumerate(
            {
                "proxies": "proxies with a pseudo identity",
                "pseudo_identities": "pseudo identities",
                "groups": "groups",
            }.items()
        ):
            _line(axes, history, key, label, colour(place))
        if isinstance(training.get("people"), int):
            axes.axhline(training["people"], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="people")
        axes.set_ylim(bottom=0)
        _epochs(axes, run)
        axes.set_title("pseudo identities")
        legend_below(made, axes, 2)
        last = history[-1]
        alt = f"in the last epoch {last.get('pseudo_identities')} pseudo identities over {last.get('proxies')} proxies"
        return as_drawing(made, f"Counts of the association: {alt}")


def share_drawings(run: RecordedRun, history: Sequence[Mapping[str, Any]]) -> list[Drawing]:
    """Shares over the epochs: what is known without true identities, and how right the pairs are."""
    total = run.of_results("training_set").get("proxies")
    if isinstance(total, int) and total and not any("grouped" in entry for entry in history):
        history = [
            {**entry, "assigned": entry["proxies"] / total} if _is_number(entry.get("proxies")) else entry
            for entry in history
        ]
    wanted = [
        ({"assigned": "proxies with a pseudo identity", **SHARES}, "shares (%)"),
        (RIGHT, "right pairs (%)"),
        (CAMERA, "camera predicted (%)"),
    ]
    drawings = []
    for keys, title in wanted:
        present = {key: label for key, label in keys.items() if any(_is_number(entry.get(key)) for entry in history)}
        if not present:
            continue
        with figure() as (made, axes):
            for place, (key, label) in enumerate(present.items()):
                _line(axes, history, key, label, colour(place), factor=100)
            axes.set_ylim(0, 103)
            _epochs(axes, run)
            axes.set_title(title)
            legend_below(made, axes, 2)
            ends = [
                f"{label} ends at {100 * history[-1][key]:.0f} %"
                for key, label in present.items()
                if _is_number(history[-1].get(key))
            ]
            drawings.append(as_drawing(made, f"{title}: {', '.join(ends)}"))
    return drawings


def size_drawings(history: Sequence[Mapping[str, Any]]) -> list[Drawing]:
    """How many groups of each size the last association made."""
    sizes: dict[str, Any] = next(
        (entry["sizes"] for entry in reversed(history) if isinstance(entry.get("sizes"), dict)), {}
    )
    if not sizes:
        return []
    with figure() as (made, axes):
        axes.bar(list(sizes), [int(count) for count in sizes.values()], color=colour(0), width=0.6)
        axes.grid(False, axis="x")
        axes.set_xlabel("proxies in a group")
        axes.set_title("groups of each size, last epoch")
        return [as_drawing(made, f"Groups by size: {', '.join(f'{count} of {size}' for size, count in sizes.items())}")]


def _line(axes: Any, history: Sequence[Mapping[str, Any]], key: str, label: str, shade: str, factor: float = 1) -> None:
    points = [
        (entry.get("epoch", place), factor * entry[key])
        for place, entry in enumerate(history)
        if _is_number(entry.get(key))
    ]
    if points:
        axes.plot(*zip(*points, strict=True), color=shade, label=label, marker="o", markersize=2)


def _epochs(axes: Any, run: RecordedRun) -> None:
    axes.set_xlim(0, run.epochs or None)
    whole_numbers(axes.xaxis)
    axes.set_xlabel("epoch")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
