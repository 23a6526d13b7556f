"""Features before and after training: where people lie, how well the camera can be told, how far people are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.thresholds import Thresholds, file_of, measure_thresholds
from ccafl_plugin.metrics.camera_probe import CameraPredictability, camera_predictability
from ccafl_plugin.report.drawing import (
    COLOURS,
    GREY,
    as_drawing,
    colour,
    figure,
    legend_below,
    share_stairs,
    whole_numbers,
)
from ccafl_plugin.report.page_blocks import Drawing, Text
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.sampled_people import Sample
from ccafl_plugin.utils.digests import digest_of_file

MARKERS = "osD^vP"
BINS = 80
DASHES = ((0, (4, 2)), (0, (2, 2)), (0, (1, 1.5)))

LEAD = (
    "Features before training are those of the weights from which the run began. The same images are shown before and "
    "after, projected on the two principal components of their features (PCA), fitted anew each time. The camera is "
    "predicted by a linear probe from the features of people that it has not seen, so features that reveal no camera "
    "are at chance. Distances are the cosines of all pairs of images of two different cameras."
)


@dataclass(frozen=True, eq=False)
class Moment:
    """Features of the sample at one time.

    Attributes:
        epoch: epochs finished; 0 before training.
        features: (n, D) float32, rows of length 1.
    """

    epoch: int
    features: Tensor


def principal_components(features: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Projection on the two directions of largest variance.

    Args:
        features: (n, D) float, n >= 1.

    Returns:
        (n, 2) float64, each column with its largest entry positive, and the share of the variance of each, in [0, 1].
    """
    centred = features.double() - features.double().mean(dim=0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    points = u[:, :2] * s[:2]
    points = torch.nn.functional.pad(points, (0, 2 - points.shape[1]))
    largest = points.gather(0, points.abs().argmax(dim=0, keepdim=True))
    shares = [*(s.square() / s.square().sum().clamp_min(1e-300)).tolist(), 0.0, 0.0]
    return points * torch.where(largest < 0, -1.0, 1.0), (shares[0], shares[1])


def embedding_drawings(sample: Sample, moments: Sequence[Moment], camera_names: dict[int, str]) -> list[Drawing]:
    """The first and the last moment, coloured by camera and by person."""
    few = sample.few()
    cameras, persons = sample.cameras[few], sample.persons[few]
    drawings = []
    first_and_last = [("before training", moments[0])] + ([("after training", moments[-1])] if len(moments) > 1 else [])
    projected = [(when, *principal_components(moment.features[few])) for when, moment in first_and_last]
    for when, points, shares in projected:
        drawings.append(_by_camera(points.numpy(), shares, cameras, camera_names, when))
    if sample.ids_hold_across:
        for when, points, shares in projected:
            drawings.append(_by_person(points.numpy(), shares, persons, when))
    return drawings


def _by_camera(points: Any, shares: Any, cameras: NDArray[np.int64], names: dict[int, str], when: str) -> Drawing:
    with figure(height=3.3) as (made, axes):
        for place, camera in enumerate(np.unique(cameras).tolist()):
            own = cameras == camera
            marker = MARKERS[place // len(COLOURS) % len(MARKERS)]
            label = names.get(camera, str(camera + 1))
            axes.scatter(*points[own].T, s=9, color=colour(place), marker=marker, alpha=0.8, linewidths=0, label=label)
        _components(axes, shares)
        axes.set_title(f"by camera, {when}")
        legend_below(made, axes, 6 if max(map(len, names.values()), default=1) < 4 else 3)
        return as_drawing(made, f"Features {when}, coloured by camera", paired=True)


def _by_person(points: Any, shares: Any, persons: NDArray[np.int64], when: str) -> Drawing:
    with figure(height=3.3) as (made, axes):
        for place, person in enumerate(np.unique(persons).tolist()):
            own = persons == person
            marker = MARKERS[place % len(MARKERS)]
            axes.scatter(*points[own].T, s=11, color=colour(place), marker=marker, alpha=0.8, linewidths=0)
        _components(axes, shares)
        count = len(np.unique(persons))
        axes.set_title(f"by person, {when}")
        made.supxlabel(f"{count} people, each with a colour and shape of its own", fontsize=7)
        return as_drawing(made, f"Features {when}, coloured by person", paired=True)


def _components(axes: Any, shares: tuple[float, float]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"component 1 ({100 * shares[0]:.0f} % of the variance)")
    axes.set_ylabel(f"component 2 ({100 * shares[1]:.0f} %)")
    axes.set_aspect("equal", adjustable="datalim")


def probe_drawing(run: RecordedRun, sample: Sample, moments: Sequence[Moment]) -> Drawing | None:
    """How well the camera is predicted over the epochs, beside chance; None if nothing can be predicted."""
    persons = torch.from_numpy(sample.persons)
    found = [
        (moment.epoch, camera_predictability(moment.features, torch.from_numpy(sample.cameras), persons, seed=1))
        for moment in moments
    ]
    found = [(epoch, probe) for epoch, probe in found if probe.accuracy == probe.accuracy]
    return _probe_figure(run, found, sample.source) if found else None


def _probe_figure(run: RecordedRun, found: Sequence[tuple[int, CameraPredictability]], source: str) -> Drawing:
    with figure() as (made, axes):
        epochs = [epoch for epoch, _ in found]
        axes.plot(
            epochs, [100 * probe.accuracy for _, probe in found], "o-", color=COLOURS[0], markersize=3, label="images"
        )
        of_proxies = [entry for entry in run.history if isinstance(entry.get("camera_accuracy"), float)]
        if of_proxies:
            x, y = zip(*((entry["epoch"], 100 * entry["camera_accuracy"]) for entry in of_proxies), strict=True)
            axes.plot(x, y, color=COLOURS[1], label="proxies, in training")
        axes.axhline(100 * found[-1][1].chance, color=GREY, linewidth=0.9, linestyle=(0, (3, 2)), label="chance")
        axes.set_ylim(0, 103)
        axes.set_xlim(-0.02 * max(run.epochs, 1), max([run.epochs, *epochs]) * 1.02 or 1)
        whole_numbers(axes.xaxis)
        axes.set_xlabel("epoch")
        axes.set_title("camera predicted from the feature (%)")
        legend_below(made, axes)
        ends = f"from {100 * found[0][1].accuracy:.0f} to {100 * found[-1][1].accuracy:.0f} %"
        caption = f"{source}, before training and at each checkpoint that was kept."
        return as_drawing(
            made, f"Camera predicted from the feature {ends}, chance {100 * found[-1][1].chance:.0f} %", caption
        )


def distance_drawings(sample: Sample, moments: Sequence[Moment], thresholds: Thresholds) -> list[Drawing]:
    """Histograms of the cosines of same and different people across cameras, before and after, with thresholds."""
    edges = np.linspace(-1, 1, BINS + 1)
    counted = [histograms(sample, moment.features, edges) for moment in moments]
    used = np.flatnonzero(sum(same + different for same, different in counted))
    limits = edges[used[0]], edges[used[-1] + 1]
    drawings = []
    for place, (same, different) in enumerate(counted):
        when = "before training" if place == 0 and len(counted) > 1 else "after training"
        with figure() as (made, axes):
            for counts, name, shade in ((different, "different people", COLOURS[1]), (same, "same person", COLOURS[0])):
                share_stairs(axes, counts, edges, name, shade)
            if when == "after training":
                _thresholds(axes, thresholds)
            axes.set_xlim(*limits)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("cosine of two images of different cameras")
            axes.set_title(f"share of the pairs (%), {when}")
            legend_below(made, axes)
            means = f"same person {_mean(same, edges):.2f}, different people {_mean(different, edges):.2f}"
            drawings.append(as_drawing(made, f"Cosines {when}, on average: {means}"))
    return drawings


def histograms(
    sample: Sample, features: Tensor, edges: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts of the cosines of pairs of images of different cameras: of one person, and of two.

    Args:
        sample: n images.
        features: (n, D) float, rows of length 1.
        edges: (b + 1,) of the bins.
    """
    same, different = (np.zeros(len(edges) - 1, dtype=np.int64) for _ in range(2))
    for row in range(len(features)):
        cosines = (features[row + 1 :] @ features[row]).clamp(-1, 1).numpy()
        across = sample.cameras[row + 1 :] != sample.cameras[row]
        equal = sample.persons[row + 1 :] == sample.persons[row]
        same += np.histogram(cosines[across & equal], edges)[0]
        different += np.histogram(cosines[across & ~equal], edges)[0]
    return same, different


def thresholds_of(run: RecordedRun, sample: Sample, features: Tensor) -> tuple[Thresholds, Text]:
    """Those beside the weights, if they are of these weights; else those of the sample. And what to say of them.

    Raises:
        CCAFLError: the sample has no pair of one of the two kinds.
    """
    file = file_of(run.path)
    if file.is_file():
        found = Thresholds.load(file)
        if found.weights == digest_of_file(run.path / "weights.safetensors"):
            return found, Text(f"Thresholds are those of {file.name}, from {found.data or 'a labelled set'}.")
    columns = {
        "path": list(sample.paths),
        "camera": [str(camera) for camera in sample.cameras],
        "id": [str(person) for person in sample.persons],
    }
    found = measure_thresholds(FeatureSet(features, columns, ""), data=sample.source)
    said = "; ".join(
        f"a false-accept rate of {each.rate:g} accepts {100 * each.true_accept_rate:.1f} % of the pairs of one person"
        for each in found.thresholds
        if each.threshold is not None and each.true_accept_rate is not None
    )
    pairs = f"{found.same_pairs:,} pairs of one person and {found.different_pairs:,} of two people"
    return found, Text(
        f"Thresholds are of {sample.source} ({pairs}): {said}." if said else f"{pairs}: too few for thresholds."
    )


def _thresholds(axes: Any, thresholds: Thresholds) -> None:
    places = [(each.rate, each.threshold) for each in thresholds.thresholds if each.threshold is not None]
    for place, (rate, threshold) in enumerate(places):
        axes.axvline(threshold, color="#222222", linewidth=0.8, linestyle=DASHES[place % 3], label=f"rate {rate:g}")


def _mean(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    return float((counts * (edges[1:] + edges[:-1]) / 2).sum() / max(counts.sum(), 1))


def no_distances(sample: Sample) -> str:
    """Why there are none."""
    if sample.ids_hold_across:
        return ""
    return "No distances across cameras: ids hold inside a camera only. ccafl.data.queries names labelled images."
