"""A test by several processes: each computes features of its share of the images, and the first one ranks them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

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


def evaluate_together(
    engine: Any, evaluate: Callable[..., tuple[float, float]], query_loader: Any, gallery_loader: Any, **settings: Any
) -> tuple[float, float]:
    """``evaluate`` with features that all processes have computed; the first one calls it, the others wait for it.

    Args:
        engine: with ``results`` and ``camera_pairs``, which are set in all processes.
        evaluate: torchreid's ``_evaluate``, or what is around it.
        query_loader: torchreid's.
        gallery_loader: torchreid's.
        **settings: further arguments of ``evaluate``.

    Returns:
        Rank-1 and mAP.
    """
    if num_processes() == 1:
        return evaluate(query_loader=query_loader, gallery_loader=gallery_loader, **settings)
    started = time.monotonic()
    query, gallery = (_test_set(engine, loader) for loader in (query_loader, gallery_loader))
    print(f"Features of {len(query.pids)} + {len(gallery.pids)} images by {num_processes()} processes: ", end="")
    print(f"{time.monotonic() - started:.1f} s")

    def scored() -> tuple[Any, ...]:
        with _features_as_images(engine):
            scores = evaluate(query_loader=query, gallery_loader=gallery, **settings)
        return scores, engine.results, engine.camera_pairs

    scores: tuple[float, float]
    scores, engine.results, engine.camera_pairs = from_first(scored)
    return scores


@torch.no_grad()
def _test_set(engine: Any, loader: Any) -> TestSet:
    """Features and labels of all images of a loader."""
    count = len(loader.dataset)
    share = DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=range(count)[own_share(count)],
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
    )
    features, labels = [], []
    own = len(range(count)[own_share(count)])
    for data in watched(share, own, "images", "Features of a test, its share", lambda batch: len(batch["img"])):
        images, pids, camids = engine.parse_data_for_eval(data)
        features.append(engine.extract_features(images))
        labels.append(torch.stack([torch.as_tensor(pids), torch.as_tensor(camids)], dim=1))
    everyone = from_all(torch.cat(labels) if labels else torch.zeros(0, 2, dtype=torch.int64))
    of_all = torch.zeros(count, 2, dtype=torch.int64)
    for number, part in enumerate(everyone):
        of_all[number :: num_processes()] = part
    whole = gather_rows(torch.cat(features) if features else None, count, getattr(engine, "device", None))
    return TestSet(loader.dataset, whole, of_all[:, 0], of_all[:, 1])


@contextmanager
def _features_as_images(engine: Any) -> Iterator[None]:
    """Inside, the engine takes the batch of a :class:`TestSet` for a batch of images whose features are known."""
    own = {name: value for name, value in vars(engine).items() if name in ("parse_data_for_eval", "extract_features")}
    engine.parse_data_for_eval = lambda data: (data["img"], data["pid"], data["camid"])
    engine.extract_features = lambda features: features
    try:
        yield
    finally:
        for name in ("parse_data_for_eval", "extract_features"):
            vars(engine).pop(name, None)
        vars(engine).update(own)
