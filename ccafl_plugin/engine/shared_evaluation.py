"""Tests by several processes: each computes features of its share of the images, and the first one ranks them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ccafl_plugin.engine.scored_engine import ScoredEngine
from ccafl_plugin.metrics.watched_scores import RANKS
from ccafl_plugin.utils.distributed import from_all, from_first, gather_rows, num_processes, own_share
from ccafl_plugin.utils.progress import watched


class TestSet(NamedTuple):
    """Query or gallery; it takes the place of torchreid's loader, as one batch.

    Attributes:
        dataset: torchreid's.
        features: (M, D) float on the model's device.
        pids: (M,) int64.
        camids: (M,) int64.
    """

    dataset: Any
    features: Tensor
    pids: Tensor
    camids: Tensor

    def __iter__(self) -> Iterator[Any]:  # as a loader
        yield {"img": self.features, "pid": self.pids, "camid": self.camids}


class SharedTests(ScoredEngine):
    """An engine whose tests are shared by the processes of a run. All of them call ``test`` at the same time.

    Attributes:
        device: device of the model.
    """

    device: torch.device

    def _evaluate(self, dataset_name: str = "", ranks: Sequence[int] = RANKS, **settings: Any) -> tuple[float, float]:
        """A test; with several processes only the first one ranks, and all get its scores."""
        if num_processes() == 1:
            return super()._evaluate(dataset_name, ranks, **settings)
        started = time.monotonic()
        query, gallery = (self._test_set(settings.pop(f"{part}_loader")) for part in ("query", "gallery"))
        settings |= {"dataset_name": dataset_name, "ranks": ranks}
        seconds = time.monotonic() - started
        images = len(query.pids) + len(gallery.pids)
        print(f"Features of {images} images by {num_processes()} processes: {seconds:.1f} s")
        scores: tuple[float, float]
        scores, self.results, self.camera_pairs = from_first(lambda: self._scored(query, gallery, settings))
        return scores

    def _scored(self, query: TestSet, gallery: TestSet, settings: dict[str, Any]) -> tuple[Any, ...]:
        """Scores, ``results`` and ``camera_pairs``, while the engine takes features for images."""
        before = {name: vars(self)[name] for name in ("parse_data_for_eval", "extract_features") if name in vars(self)}
        self.parse_data_for_eval = lambda data: (data["img"], data["pid"], data["camid"])
        self.extract_features = lambda features: features
        try:
            scores = super()._evaluate(query_loader=query, gallery_loader=gallery, **settings)
        finally:
            del self.parse_data_for_eval, self.extract_features
            self.__dict__.update(before)
        return scores, self.results, self.camera_pairs

    @torch.no_grad()
    def _test_set(self, loader: Any) -> TestSet:
        """Features and labels of all images of a loader."""
        count = len(loader.dataset)
        own = range(count)[own_share(count)]
        share = DataLoader(
            loader.dataset,
            batch_size=loader.batch_size,
            sampler=own,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            worker_init_fn=loader.worker_init_fn,
        )
        features, labels = [], []
        for data in watched(share, len(own), "images", "Features of a test", lambda batch: len(batch["img"])):
            images, pids, camids = self.parse_data_for_eval(data)
            features.append(self.extract_features(images))
            labels.append(torch.stack([torch.as_tensor(pids), torch.as_tensor(camids)], dim=1))
        everyone = from_all(torch.cat(labels) if labels else torch.zeros(0, 2, dtype=torch.int64))
        of_all = torch.zeros(count, 2, dtype=torch.int64)
        for number, part in enumerate(everyone):
            of_all[number :: num_processes()] = part
        whole = gather_rows(torch.cat(features) if features else None, count, self.device)
        return TestSet(loader.dataset, whole, of_all[:, 0], of_all[:, 1])
