"""Search in an index of faiss, kept in a folder: quick with millions of images, on one machine, without a server."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.search_index import Filter, FilterColumns, Hit, SearchIndex, cameras_of, facts_of
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole, write_whole

DESCRIPTION, VECTORS, COLUMNS = "search.json", "vectors.faiss", "columns.json"
FORMAT = "1"
FLAT_BELOW = 20_000
"""With fewer images every one is compared."""
RECALL = 0.95
"""Of the true ten best, so many are to be found; as many cells are looked into as this takes."""
SAMPLE = 100
"""Images by which that is measured."""
TRAINING_PER_CELL = 48
BLOCK = 16_384
"""Features added at a time."""
SEED = 1


class FaissIndex(SearchIndex):
    """An index in a folder.

    From :data:`FLAT_BELOW` images on, features lie in half precision in cells around 2 sqrt(N) centres (an inverted
    file), and a query looks into the nearest cells only.

    Args:
        folder: as :func:`build_faiss` wrote it.

    Raises:
        CCAFLError: faiss is missing, or the folder holds no index.
    """

    def __init__(self, folder: str | Path) -> None:
        self._faiss = import_faiss()
        self.folder = Path(folder)
        facts = read_description(self.folder)
        try:
            self._index = self._faiss.read_index(str(self.folder / VECTORS))
            self.columns: dict[str, list[Any]] = json.loads((self.folder / COLUMNS).read_text("utf-8"))
            super().__init__(
                facts["weights"], facts["description"], self._index.d, tuple(self.columns), cameras_of(self.columns)
            )
            self._filter = FilterColumns(self.columns)
            self.cells_searched = int(facts["cells_searched"])
            whole = self._index.ntotal == len(self.columns["path"])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = (" ".join(str(error).split()) or type(error).__name__)[:80]
            raise CCAFLError(f"{self.folder} is a damaged index ({reason}); build it again.") from error
        if not whole:
            raise CCAFLError(f"{self.folder} is a damaged index (its files do not agree); build it again.")

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def _search(self, queries: Tensor, top: int, only: Filter) -> list[list[Hit]]:
        kept = self._filter.rows(only)
        allowed = len(self) if kept is None else int(kept.sum())
        if not allowed:
            return [[] for _ in queries]
        parameters = self._parameters(kept, allowed)
        similarities, rows = self._index.search(queries.numpy(), min(top, allowed), params=parameters)
        return [
            [
                Hit(int(row), float(similarity), facts_of(self.columns, int(row)))
                for similarity, row in zip(*each, strict=True)
                if row >= 0
            ]
            for each in zip(similarities, rows, strict=True)
        ]

    def _parameters(self, kept: NDArray[np.bool_] | None, allowed: int) -> Any:
        """With a filter as many more cells are searched as it leaves images out."""
        selector = None
        if kept is not None:
            bits = np.packbits(kept, bitorder="little")
            selector = self._faiss.IDSelectorBitmap(bits)
        if not self.cells_searched:
            return self._faiss.SearchParameters(sel=selector)
        cells = min(self._index.nlist, math.ceil(self.cells_searched * len(self) / allowed))
        return self._faiss.SearchParametersIVF(sel=selector, nprobe=cells)


def build_faiss(features: FeatureSet, folder: str | Path, recall: float = RECALL) -> dict[str, Any]:
    """Writes an index into a folder.

    Args:
        features: what is to be found.
        folder: made if needed; an index in it is replaced.
        recall: of the true ten best images so many are to be found.

    Returns:
        What was built: ``cells``, ``cells_searched`` and the measured ``recall``.

    Raises:
        CCAFLError: faiss is missing, there are no features, or the folder can't be written or holds something else.
    """
    faiss = import_faiss()
    place = Path(folder)
    if not len(features):
        raise CCAFLError("There are no features to build an index of.")
    try:
        place.mkdir(parents=True, exist_ok=True)
        own = (DESCRIPTION, VECTORS, COLUMNS)
        others = [file.name for file in place.iterdir() if not file.name.startswith(own)]  # what a stopped build left
        if others and not (place / DESCRIPTION).exists():
            raise CCAFLError(f"{place} holds other files, such as {min(others)}; name a new folder for the index.")
        (place / DESCRIPTION).unlink(missing_ok=True)  # until all of it is there
        index, cells = _filled(faiss, features.features)
        searched, reached = _cells_for(index, features.features, recall) if cells else (0, 1.0)
        built = {"cells": cells, "cells_searched": searched, "recall": reached}
        write_whole(place / VECTORS, lambda partial: faiss.write_index(index, str(partial)))
        write_text_whole(place / COLUMNS, json.dumps(features.columns, ensure_ascii=False))
        facts = {
            "format": FORMAT,
            "kind": "faiss",
            "weights": features.weights,
            "description": features.description,
            **built,
        }
        write_text_whole(place / DESCRIPTION, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise CCAFLError(f"{place} can't be written: {error.strerror or error}. Name another folder.") from error
    return built


def read_description(folder: Path) -> dict[str, Any]:
    """What an index says of itself.

    Raises:
        CCAFLError: the folder holds no index.
    """
    file = folder / DESCRIPTION
    try:
        facts: dict[str, Any] = json.loads(file.read_text("utf-8"))
        version = facts["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CCAFLError(f"{folder} holds no index of features; build one with tools/search.py build.") from error
    if version != FORMAT:
        raise CCAFLError(f"{folder} is an index of the format {version}, not {FORMAT}; build it again.")
    return facts


def import_faiss() -> Any:
    """The module.

    Raises:
        CCAFLError: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise CCAFLError(
            "An index in a folder needs faiss: pip install 'ccafl_plugin[search]', or search the file of features "
            "itself, exactly."
        ) from error


def _filled(faiss: Any, features: Tensor) -> tuple[Any, int]:
    """The index of faiss with all features, and its number of cells; 0: it has none."""
    total, dim = features.shape
    if total < FLAT_BELOW:
        index, cells = faiss.IndexFlatIP(dim), 0
    else:
        cells = int(2 * math.sqrt(total))
        # The centres are held by the index, which takes the quantizer over.
        quantizer = faiss.IndexFlatIP(dim)
        half = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, cells, half, faiss.METRIC_INNER_PRODUCT, False)
        index.cp.niter, index.cp.seed, index.cp.min_points_per_centroid = 10, SEED, 1
        index.cp.max_points_per_centroid = TRAINING_PER_CELL
        draw = np.random.default_rng(SEED).choice(total, min(total, TRAINING_PER_CELL * cells), replace=False)
        index.train(_unit(features[torch.from_numpy(np.sort(draw))]))
    for first in range(0, total, BLOCK):
        index.add(_unit(features[first : first + BLOCK]))
    return index, cells


def _cells_for(index: Any, features: Tensor, recall: float, best: int = 10) -> tuple[int, float]:
    """(cells to look into so that a share of the true best are found, the share), on a sample of the images."""
    total = len(features)
    draw = np.random.default_rng(SEED + 1).choice(total, min(total, SAMPLE), replace=False)
    queries = _unit(features[torch.from_numpy(draw)])
    true = _true_best(features, torch.from_numpy(queries), draw, best)
    cells = 1
    while True:
        index.nprobe = cells
        _, found = index.search(queries, best + 1)
        hits = sum(
            len(wanted.intersection(row[row != own][:best].tolist()))
            for wanted, row, own in zip(true, found, draw, strict=True)
        )
        share = hits / sum(map(len, true))
        if share >= recall or cells >= index.nlist:
            return cells, share
        cells = min(2 * cells, index.nlist)


def _true_best(features: Tensor, queries: Tensor, own: NDArray[np.int64], best: int) -> list[set[int]]:
    """The most similar images of each query, itself left out."""
    values = torch.full((len(queries), best), -torch.inf)
    places = torch.full((len(queries), best), -1)
    for first in range(0, len(features), BLOCK):
        block = torch.from_numpy(_unit(features[first : first + BLOCK]))
        similarities = queries @ block.T
        here = torch.from_numpy(own)[:, None] == torch.arange(first, first + len(block))
        similarities[here] = -torch.inf
        values, chosen = torch.cat([values, similarities], dim=1).topk(best, dim=1)
        numbers = torch.arange(first, first + len(block)).expand(len(queries), -1)
        places = torch.cat([places, numbers], dim=1).gather(1, chosen)
    return [set(row[row >= 0].tolist()) for row in places]


def _unit(features: Tensor) -> NDArray[np.float32]:
    made: NDArray[np.float32] = F.normalize(features, dim=1).contiguous().numpy()
    return made
