"""Scores: the table of all runs, CMC curves, and mAP by pairs of cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ccafl_plugin.report.drawing import as_drawing, colour, figure, legend_below
from ccafl_plugin.report.page_blocks import Drawing, Panel, Section, Table
from ccafl_plugin.report.recorded_run import RecordedRun

NAMES = {"mAP": "mAP", "rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "rank20": "Rank-20", "mINP": "mINP"}
PROBE = {"accuracy": "camera told", "as_tested": "as tested", "chance": "chance"}
"""Of the camera probe, if the run was asked for it (``ccafl.camera_probe``)."""
SHOWN_RANKS = 20


def scores_section(
    runs: Sequence[RecordedRun],
    curves: Mapping[Any, Mapping[str, Sequence[float]]],
    camera_names: Mapping[Any, Mapping[int, str]],
) -> Section:
    """The scores of all runs.

    Args:
        runs: the runs.
        curves: folder of a run -> dataset -> its whole CMC curve, of the runs whose features were computed again.
        camera_names: folder of a run -> torchreid's number of a camera -> its name.
    """
    section = Section("scores", "Scores", lead_of(runs))
    table = scores_table(runs)
    if table.rows:
        section.shared.append(table)
    section.shared += cmc_drawings(runs, curves)
    for run in runs:
        panel = Panel(run.name)
        several = len(run.of_results("camera_pairs")) > 1
        for dataset, pairs in run.of_results("camera_pairs").items():
            if drawing := heat_map(dataset, pairs, camera_names.get(run.path, {}), several):
                panel.blocks.append(drawing)
        if not scores_of(run):
            panel.missing.append(no_scores(run))
        if len(runs) == 1:  # beside the curve
            section.shared += panel.blocks
            panel.blocks = []
        section.panels.append(panel)
    return section


def lead_of(runs: Sequence[RecordedRun]) -> str:
    """How the scores were computed."""
    if not any(scores_of(run) for run in runs):
        return ""
    told = any(probe_of(run, dataset) for run in runs for dataset in scores_of(run))
    return (
        "Images of the query's own person and camera do not count. mAP is the mean average precision. The cumulative "
        "matching characteristic (CMC) is the share of queries with a right match up to a rank. mINP rewards finding "
        "the last right match early. Scores are of the last test of a run, with the settings of its test."
        + told
        * " Camera told: the share of test images whose camera a linear probe predicts, from the model's own "
        "features and from those that the test compares."
    )


def scores_of(run: RecordedRun) -> dict[str, dict[str, float]]:
    """Dataset -> name -> score, a share; without what is no number."""
    found = {}
    for dataset, scores in run.of_results("scores").items():
        if isinstance(scores, dict):
            numbers = {name: float(value) for name, value in scores.items() if isinstance(value, (int, float))}
            if numbers:
                found[dataset] = numbers
    return found


def probe_of(run: RecordedRun, dataset: str) -> dict[str, float]:
    """Shares by name: how well a linear probe told the camera from the test features, and chance."""
    found = run.of_results("camera_probe").get(dataset)
    if not isinstance(found, dict):
        return {}
    return {name: float(found[name]) for name in PROBE if isinstance(found.get(name), (int, float))}


def no_scores(run: RecordedRun) -> str:
    """Why a run has no scores."""
    if not run.is_finished:
        return "No scores: the run has not finished, and a run is scored at its end."
    return (
        "No scores: the run was not tested, because there is no query and gallery with ids that hold across cameras. "
        "ccafl.data.queries names a few such images, ccafl.data.pairs labelled pairs."
    )


def scores_table(runs: Sequence[RecordedRun]) -> Table:
    """A row per run and dataset, in per cent, and the scores on labelled pairs."""
    names = [name for name in NAMES if any(name in scores for run in runs for scores in scores_of(run).values())]
    several = len({dataset for run in runs for dataset in scores_of(run)}) > 1
    pairs = [run.of_results("pairs") for run in runs]
    probes = [
        name for name in PROBE if any(name in probe_of(run, dataset) for run in runs for dataset in scores_of(run))
    ]
    header = ["run", *(["dataset"] if several else []), "queries", "gallery", *(NAMES[name] for name in names)]
    header += [PROBE[name] for name in probes]
    rows = []
    for run in runs:
        for dataset, scores in scores_of(run).items():
            sizes = run.of_results("test_sets").get(dataset) or {}
            counts = [f"{sizes[key]:,}" if isinstance(sizes.get(key), int) else "" for key in ("queries", "gallery")]
            numbers = [f"{100 * scores[name]:.1f}" if name in scores else "" for name in names]
            probe = probe_of(run, dataset)
            numbers += [f"{100 * probe[name]:.1f}" if name in probe else "" for name in probes]
            rows.append([run.name, *([dataset] if several else []), *counts, *numbers])
    if not rows and any("auc" in each for each in pairs):
        header, rows = ["run", "same pairs", "different pairs", "AUC"], []
        for run, each in zip(runs, pairs, strict=True):
            if "auc" in each:
                rows.append([run.name, f"{each['same']:,}", f"{each['different']:,}", f"{100 * each['auc']:.1f}"])
    return Table(header, rows, "Scores in %.")


def cmc_drawings(runs: Sequence[RecordedRun], curves: Mapping[Any, Mapping[str, Sequence[float]]]) -> list[Drawing]:
    """A figure per dataset with the CMC curve of every run; without whole curves, the ranks that are in its results."""
    drawings = []
    for dataset in dict.fromkeys(dataset for run in runs for dataset in scores_of(run)):
        with figure() as (made, axes):
            for place, run in enumerate(runs):
                scores = scores_of(run).get(dataset, {})
                curve = curves.get(run.path, {}).get(dataset)
                if curve is not None:
                    shown = np.asarray(curve)[:SHOWN_RANKS]
                    axes.plot(np.arange(1, len(shown) + 1), 100 * shown, color=colour(place), label=run.name)
                else:
                    ranks = sorted((int(name[4:]), value) for name, value in scores.items() if name[:4] == "rank")
                    points = [(rank, 100 * value) for rank, value in ranks if rank <= SHOWN_RANKS]
                    if points:
                        axes.plot(*zip(*points, strict=True), "o:", color=colour(place), label=run.name, markersize=3)
            axes.set_xlim(0.5, SHOWN_RANKS + 0.5)
            axes.set_ylim(0, 100)
            axes.set_xticks([1, 5, 10, 15, 20])
            axes.set_xlabel("rank")
            axes.set_title(f"CMC on {dataset} (%)")
            if len(runs) > 1:
                legend_below(made, axes, 1)
            drawings.append(as_drawing(made, f"CMC curves on {dataset} from rank 1 to {SHOWN_RANKS}"))
    return drawings


def heat_map(dataset: str, pairs: Any, names: Mapping[int, str], several: bool = False) -> Drawing | None:
    """mAP by camera of the query and of the gallery; None if the results are of another form."""
    if not isinstance(pairs, dict) or not isinstance(pairs.get("mAP"), list):
        return None
    values = np.array([[np.nan if value is None else value for value in row] for row in pairs["mAP"]], dtype=float)
    rows, columns = pairs.get("query_cameras", []), pairs.get("gallery_cameras", [])
    if values.ndim != 2 or values.shape != (len(rows), len(columns)) or not np.isfinite(values).any():
        return None
    size = max(2.3, 0.8 + 0.36 * len(columns))
    with figure(max(3.4, size + 0.4), 0.75 + (max(3.4, size + 0.4) - 0.9) * len(rows) / len(columns) * 0.78) as (
        made,
        axes,
    ):
        axes.imshow(100 * values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                if np.isfinite(value):
                    text = "white" if value > 0.6 else "#222222"
                    axes.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=text, fontsize=7)
        axes.set_xticks(range(len(columns)), [names.get(camera, str(camera + 1)) for camera in columns])
        axes.set_yticks(range(len(rows)), [names.get(camera, str(camera + 1)) for camera in rows])
        axes.tick_params(length=0)
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xlabel("camera of the gallery")
        axes.set_ylabel("camera of the query")
        axes.set_title("mAP by pairs of cameras (%)" + (f", {dataset}" if several else ""))
        finite = values[np.isfinite(values)]
        alt = f"mAP by pairs of cameras: from {100 * finite.min():.0f} to {100 * finite.max():.0f} per cent"
        return as_drawing(made, alt)
