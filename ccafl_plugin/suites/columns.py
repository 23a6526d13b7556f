"""Groups of table columns by name; each group gives headers and one cell per row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ccafl_plugin.suites.outcomes import Outcomes, Pair
from ccafl_plugin.suites.statistics import Difference, Spread, paired_difference, spread
from ccafl_plugin.suites.suite import Row

Cell = str
Column = tuple[str, Callable[[Row], Cell]]
"""A header, and a function that gives the cell of a row; the cell is empty without a result."""


def scores(outcomes: Outcomes) -> list[Column]:
    """mAP and Rank-1 in percent, mean and standard deviation over the seeds."""
    return _score_columns(outcomes, {"mAP": "mAP", "rank1": "Rank-1"})


def cmc(outcomes: Outcomes) -> list[Column]:
    """Rank-5 and Rank-10."""
    return _score_columns(outcomes, {"rank5": "Rank-5", "rank10": "Rank-10"})


def model_zoo(outcomes: Outcomes) -> list[Column]:
    """Rank-1 (mAP) in one cell, as in torchreid's model zoo."""

    def cell(row: Row, pair: Pair) -> Cell:
        rank1, mean = (spread(outcomes.scores(row.name, pair, name).values()) for name in ("rank1", "mAP"))
        return f"{format_spread(rank1)} ({format_spread(mean)})" if rank1 and mean else ""

    return [(_headed(pair, "Rank-1 (mAP)"), partial(cell, pair=pair)) for pair in outcomes.pairs]


def difference(outcomes: Outcomes) -> list[Column]:
    """mAP minus the mAP of the row above (or of the row in ``compare``), with a 95 % interval over paired seeds."""

    def cell(row: Row, pair: Pair) -> Cell:
        if not row.compare:
            return ""
        ours, theirs = (outcomes.scores(name, pair, "mAP") for name in (row.name, row.compare))
        return format_difference(paired_difference(ours, theirs))

    return [(_headed(pair, "mAP to the row above [95 %]"), partial(cell, pair=pair)) for pair in outcomes.pairs]


def association(outcomes: Outcomes) -> list[Column]:
    """Precision / recall of cross-camera pairs, in percent, at the first association and at the last."""

    def cell(row: Row, pair: Pair, which: int) -> Cell:
        shares = [
            spread(outcomes.values(row.name, pair, _percent("association", which, name)).values())
            for name in ("precision", "recall")
        ]
        return " / ".join(f"{share.mean:.0f}" for share in shares if share is not None)

    return [
        (_headed(pair, f"Pairs P / R, {word}"), partial(cell, pair=pair, which=which))
        for pair in _one_per_dataset(outcomes)
        for word, which in (("first", 0), ("last", -1))
    ]


def camera(outcomes: Outcomes) -> list[Column]:
    """Accuracy of a linear probe that predicts the camera from a test feature, and its chance level, in percent.

    Where the test takes cameras out of the features, it is that of the features behind it.
    """

    def cell(row: Row, pair: Pair) -> Cell:
        found = {
            name: spread(outcomes.values(row.name, pair, _percent("camera_probe", pair.target, name)).values())
            for name in ("accuracy", "as_tested", "chance")
        }
        accuracy, chance = found["as_tested"] or found["accuracy"], found["chance"]
        return f"{format_spread(accuracy)} ({chance.mean:.1f})" if accuracy and chance else ""

    return [(_headed(pair, "Camera probe (chance)"), partial(cell, pair=pair)) for pair in outcomes.pairs]


def time(outcomes: Outcomes) -> list[Column]:
    """Minutes of training (stage 1 and all epochs, including those before a branch; without tests), and peak memory.

    Results of earlier versions do not say the memory; without any that do, there is no such column.
    """

    def cell(row: Row, pair: Pair) -> Cell:
        found = spread(outcomes.values(row.name, pair, lambda content: content["training_seconds"] / 60).values())
        return f"{found.mean:.1f}" if found else ""

    def memory(row: Row, pair: Pair) -> Cell:
        found = spread(outcomes.values(row.name, pair, _gigabytes).values())
        return f"{found.mean:.1f}" if found else ""

    columns: list[Column] = []
    for pair in _one_per_dataset(outcomes):
        columns.append((_headed(pair, "Training (min)"), partial(cell, pair=pair)))
        if any(memory(row, pair) for row in outcomes.suite.shown):
            columns.append((_headed(pair, "Memory (GB)"), partial(memory, pair=pair)))
    return columns


def _gigabytes(content: dict[str, Any]) -> float | None:
    peak = content.get("peak_memory")
    return None if peak is None else peak / 1e9


def model(outcomes: Outcomes) -> list[Column]:
    """The facts that torchreid's model zoo lists for a model."""

    def cell(row: Row, read: Callable[[dict[str, Any]], str]) -> Cell:
        found = {read(content["model"]) for content in outcomes.of(row.name).values() if "model" in content}
        return " or ".join(sorted(found))

    facts: dict[str, Callable[[dict[str, Any]], str]] = {
        "Model": lambda m: m["name"],
        "# Param (10^6)": lambda m: f"{m['parameters'] / 1e6:.1f}",
        "GFLOPs": lambda m: f"{m['multiply_adds'] / 1e9:.2f}",
        "Loss": lambda m: m["loss"],
        "Input": lambda m: "({}, {})".format(*m["input"]),
        "Transforms": lambda m: ", ".join(m["transforms"]),
        "Distance": lambda m: m["distance"],
    }
    return [(header, partial(cell, read=read)) for header, read in facts.items()]


def published(outcomes: Outcomes) -> list[Column]:
    """Published scores of other authors for a row, from the suite's file."""
    names = dict.fromkeys(name for row in outcomes.suite.shown for name in row.published)

    def cell(row: Row, name: str) -> Cell:
        return row.published.get(name, "")

    return [(f"{name} (published)", partial(cell, name=name)) for name in names]


COLUMNS: dict[str, Callable[[Outcomes], list[Column]]] = {
    "model": model,
    "scores": scores,
    "model_zoo": model_zoo,
    "cmc": cmc,
    "difference": difference,
    "association": association,
    "camera": camera,
    "time": time,
    "published": published,
}


def format_spread(found: Spread) -> str:
    """``51.2 ± 0.8``; without deviation for one seed."""
    return f"{found.mean:.1f}" + (f" ± {found.deviation:.1f}" if found.deviation is not None else "")


def format_difference(found: Difference | None) -> str:
    """``+2.1 [+0.9, +3.3]``; without interval for one seed."""
    if found is None:
        return ""
    interval = f" [{found.low:+.1f}, {found.high:+.1f}]" if found.low is not None else ""
    return f"{found.mean:+.1f}{interval}"


def _score_columns(outcomes: Outcomes, names: dict[str, str]) -> list[Column]:
    def cell(row: Row, pair: Pair, name: str) -> Cell:
        found = spread(outcomes.scores(row.name, pair, name).values())
        return format_spread(found) if found else ""

    return [
        (_headed(pair, header), partial(cell, pair=pair, name=name))
        for pair in outcomes.pairs
        for name, header in names.items()
    ]


def _percent(*path: Any) -> Callable[[dict[str, Any]], float]:
    """A function that reads a share from nested results, in percent."""

    def read(content: Any) -> float:
        for key in path:
            content = content[key]
        return 100 * content

    return read


def _one_per_dataset(outcomes: Outcomes) -> list[Pair]:
    """One pair per dataset, for columns that do not depend on the target."""
    return list({pair.dataset: pair for pair in reversed(outcomes.pairs)}.values())[::-1]


def _headed(pair: Pair, header: str) -> str:
    return f"{pair.label}: {header}" if pair.label else header
