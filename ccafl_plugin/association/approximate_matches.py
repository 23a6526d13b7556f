"""Finds each proxy's highest cosines in every other camera among the proxies of nearby cells; it may miss some."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.association.best_matches import BestMatches, HighestCosines, best_matches, cosines, lowest_of_rows
from ccafl_plugin.association.blocks import chunks
from ccafl_plugin.utils.progress import watched

EXHAUSTIVE = 4096
"""Up to so many proxies all pairs are compared: cells would save nothing."""

LEARNED_FROM, ROUNDS = 32, 5
"""Proxies per cell whose features the centres are learned from, at most, and rounds of k-means."""

ROWS = 1024
"""Proxies compared with all centres at once."""

AT_ONCE = 1 << 22
"""Numbers of features gathered at once, 16 MB."""

CLOSE = 8
"""Highest cosines of a proxy, over all cameras, whose own highest are compared with the proxy too."""

Rows = NDArray[np.float32]


def approximate_matches(unit: NDArray[np.float64], camera: NDArray[np.int64], best: int, probes: int) -> BestMatches:
    """:func:`~ccafl_plugin.association.best_matches.best_matches` with some matches missing. Time grows with N^1.5.

    An inverted file (Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", TPAMI 2011, section
    IV): k-means divides the proxies of all cameras into sqrt(probes N) cells, and each proxy is compared with those
    of the ``probes`` cells whose centres are nearest. All that look into a cell are compared with it in one matrix
    product, so that a comparison costs as little as in an exhaustive search. Then each proxy is compared with the best
    matches of its best matches (Dong, Moses, Li, "Efficient k-nearest neighbor graph construction for generic
    similarity measures", WWW 2011). What is found counts for both proxies, and gets an exact cosine.

    Args:
        unit: (N, D) float64, rows of length 1 (or 0), N > 0.
        camera: (N,) int64, cameras 0 to C - 1; each has a proxy.
        best: number of highest cosines per camera, at least 2.
        probes: cells that a proxy is compared with.
    """
    total = len(unit)
    cells = int(math.sqrt(probes * total))
    if total <= EXHAUSTIVE or cells <= probes:
        return best_matches(unit, camera, best)
    order = np.argsort(camera, kind="stable")  # so that a cell's proxies come camera by camera
    cameras, rows = camera[order], unit[order].astype(np.float32)
    near = nearest_cells(rows, centres_of(rows, cells), probes)
    rounded = HighestCosines(total, int(cameras[-1]) + 1, best)
    for visitors, members in watched(_visits(near, cells), 2 * cells, "cells", "Association"):
        _compare(rounded, rows, cameras, visitors, members, best)
    _compare_with_matches_of_matches(rounded, rows, cameras)
    a, place = np.nonzero(rounded.cosine.reshape(total, -1) > -np.inf)
    b = rounded.partner.reshape(total, -1)[a, place]
    del rounded
    first, second = np.minimum(a, b), np.maximum(a, b)
    pairs = np.unique(first * total + second)  # many are best matches on both sides
    first, second = pairs // total, pairs % total
    cosine = cosines(unit, order[first], order[second])
    highest = HighestCosines(total, int(cameras[-1]) + 1, best)
    highest.add(first, second, cameras[second], cosine)
    highest.add(second, first, cameras[first], cosine)
    return highest.matches(order)


def centres_of(rows: Rows, cells: int) -> Rows:
    """Centres of length 1 by k-means on cosines, from some of the rows; repeatable.

    Args:
        rows: (N, D) float32, rows of length 1 (or 0), N >= cells.
        cells: number of centres.

    Returns:
        (cells, D) float32.
    """
    drawn = np.random.default_rng(0).permutation(len(rows))[: LEARNED_FROM * cells]
    centres = rows[drawn[:cells]]
    learned = rows[np.sort(drawn)]
    for _ in range(ROUNDS):
        home = nearest_cells(learned, centres, 1)[:, 0]
        by_cell = np.argsort(home, kind="stable")
        present, starts = np.unique(home[by_cell], return_index=True)
        sums = np.add.reduceat(learned[by_cell], starts, axis=0)
        length = np.sqrt(np.square(sums).sum(axis=1, keepdims=True))
        centres[present] = sums / np.where(length > 0, length, 1)  # a cell without any row keeps its centre
    return centres


def nearest_cells(rows: Rows, centres: Rows, probes: int) -> NDArray[np.int32]:
    """(N, probes) int32: the cells with the most similar centres, the most similar one first."""
    found = np.empty((len(rows), probes), dtype=np.int32)
    for some in chunks(len(rows), ROWS):
        close = rows[some] @ centres.T
        if probes == 1:
            found[some, 0] = close.argmax(axis=1)
            continue
        part = np.argpartition(-close, probes - 1, axis=1)[:, :probes]
        ranks = np.argsort(-np.take_along_axis(close, part, axis=1), axis=1, kind="stable")
        found[some] = np.take_along_axis(part, ranks, axis=1)
    return found


def _visits(near: NDArray[np.int32], cells: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(visitors, members) of cells: first each cell's own members visit it, then everybody else who probes it.

    Members are those whose nearest centre is the cell's; both are ascending. The own cell comes first because it has
    most of what will be found: later visits have few candidates left.
    """
    members = _by_cell(near[:, 0], cells)
    for own in members:
        yield own, own
    places = _by_cell(near[:, 1:].ravel(), cells)
    for own, others in zip(members, places, strict=True):
        yield others // (near.shape[1] - 1), own


def _by_cell(cell: NDArray[np.int32], cells: int) -> list[NDArray[np.int64]]:
    """The positions of each cell's number, ascending."""
    order = np.argsort(cell, kind="stable")
    return np.split(order, np.searchsorted(cell[order], np.arange(1, cells)))


def _compare(
    rounded: HighestCosines,
    rows: Rows,
    cameras: NDArray[np.int64],
    visitors: NDArray[np.int64],
    members: NDArray[np.int64],
    best: int,
) -> None:
    """Adds the members of a cell that are among a visitor's highest cosines so far."""
    if not len(visitors) or not len(members):
        return
    close = rows[visitors] @ rows[members].T
    known = rounded.cosine[visitors, :, -1]
    near = np.zeros(close.shape, dtype=bool)
    present, starts = np.unique(cameras[members], return_index=True)
    for camera, begin, end in zip(present, starts, [*starts[1:], len(members)], strict=True):
        columns = close[:, begin:end]
        limit = np.maximum(lowest_of_rows(columns, best), known[:, camera])
        # A camera without best matches yet has -inf, which everything exceeds; above what is known, not equal to it.
        near[:, begin:end] = (columns >= limit[:, None]) & (columns > known[:, camera, None])
        near[cameras[visitors] == camera, begin:end] = False
    a, b = np.nonzero(near)
    rounded.add(visitors[a], members[b], cameras[members[b]], close[a, b].astype(np.float64))


def _compare_with_matches_of_matches(rounded: HighestCosines, rows: Rows, cameras: NDArray[np.int64]) -> None:
    """Adds the best matches of a proxy's best matches that are among its highest cosines."""
    total, dim = rows.shape
    close = closest_over_all(rounded, CLOSE)
    for some in chunks(total, AT_ONCE // (close.shape[1] ** 2 * dim)):
        own = np.arange(total)[some]
        matches = close[some]
        candidates = np.where(matches[..., None] >= 0, close[matches], -1).reshape(len(own), -1)
        candidates.sort(axis=1)
        camera = cameras[candidates]
        new = (candidates >= 0) & (camera != cameras[own][:, None])
        new[:, 1:] &= candidates[:, 1:] != candidates[:, :-1]
        place = own[:, None], camera
        is_there = (rounded.partner[place] == candidates[..., None]) & (rounded.cosine[place] > -np.inf)
        row, column = np.nonzero(new & ~is_there.any(axis=2))
        a, b = own[row], candidates[row, column]
        cosine = np.einsum("pd,pd->p", rows[a], rows[b]).astype(np.float64)
        higher = cosine > rounded.cosine[a, cameras[b], -1]
        rounded.add(a[higher], b[higher], cameras[b[higher]], cosine[higher])


def closest_over_all(found: HighestCosines, count: int) -> NDArray[np.int64]:
    """(N, count) int64: the matches of a proxy with the highest cosines over all cameras, in any order; -1 for none."""
    total = len(found.cosine)
    cosine, partner = found.cosine.reshape(total, -1), found.partner.reshape(total, -1)
    count = min(count, cosine.shape[1])
    close = np.empty((total, count), dtype=np.int64)
    for some in chunks(total, ROWS):
        place = np.argpartition(-cosine[some], count - 1, axis=1)[:, :count]
        is_there = np.take_along_axis(cosine[some], place, axis=1) > -np.inf
        close[some] = np.where(is_there, np.take_along_axis(partner[some], place, axis=1), -1)
    return close
