"""Association by margins."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problems import Proxies
from benchmarks.rows.association import association_row, numbered


def usual(problem: Proxies) -> dict[str, Any]:
    """The definition with N x N matrices: of cosines, of margins, and of sums of margins between groups."""
    features, cameras = problem.features.numpy().astype(np.float64), problem.cameras.numpy()
    unit = standardised(features, cameras)
    cosines = unit @ unit.T
    margins = 2 * cosines - runner_up_means(cosines, cameras)
    margins -= runner_up_means(cosines, cameras).T
    return {"pseudo": numbered(average_linkage(margins, cameras))}


def standardised(features: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    mean, variance = features.mean(0), features.var(0)
    unit = np.empty_like(features)
    for camera in np.unique(cameras):
        own = features[cameras == camera]
        n = len(own)
        centre, spread = (n * own.mean(0) + 2 * mean) / (n + 2), (n * own.var(0) + 2 * variance) / (n + 2)
        rows = (own - centre) / np.sqrt(spread + 1e-12)
        unit[cameras == camera] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def runner_up_means(cosines: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """(N, N): the mean of a proxy's two highest cosines in the camera of the other."""
    found = np.empty_like(cosines)
    others = cosines.copy()
    np.fill_diagonal(others, -np.inf)
    for camera in np.unique(cameras):
        of_camera = cameras == camera
        best = np.sort(others[:, of_camera], axis=1)[:, -2:]
        several = of_camera.sum() - of_camera > 1
        found[:, of_camera] = np.where(several, best.mean(1), best[:, -1])[:, None]
    return found


def average_linkage(margins: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Merges the two groups with the largest mean margin while it is above 0 and they have no camera in common."""
    total = len(cameras)
    sums, sizes = margins.copy(), np.ones(total)
    holds = np.eye(cameras.max() + 1, dtype=bool)[cameras]
    group = np.arange(total)
    means = np.where(holds.astype(int) @ holds.T.astype(int) > 0, -np.inf, margins)
    best = means.max(1)  # of each group's row
    while True:
        a = int(best.argmax())
        if not best[a] > 0:
            return group
        b = int(means[a].argmax())
        a, b = min(a, b), max(a, b)
        sums[a] += sums[b]
        sums[:, a] = sums[a]
        sizes[a] += sizes[b]
        holds[a] |= holds[b]
        group[group == b] = a
        alive = np.isfinite(sums[a]) & ~(holds & holds[a]).any(1)
        sums[b] = sums[:, b] = np.nan
        alive[b] = False
        row = np.where(alive, sums[a] / (sizes[a] * sizes), -np.inf)
        means[a], means[:, a], means[b], means[:, b] = row, row, -np.inf, -np.inf
        best = means.max(1)


ROW = association_row("margin", "NumPy with N x N matrices in float64", usual)
