"""Measures how many training images a core reads and augments in a second, beside torchreid's own loader."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
import torchreid
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.report import Report
from benchmarks.steps import step
from benchmarks.training import synchronize
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.encoder_pass import ImageTransfer
from ccafl_plugin.engine.extraction import TrainingImages
from ccafl_plugin.engine.training_input import TrainingInput

TRANSFORMS = ["bicubic_resize", "random_flip", "pad_crop", "random_erase"]
HEIGHT, WIDTH, BATCH = 256, 128, 128
MEMORY = 2048
"""MB."""


class Kind(NamedTuple):
    """The files of a dataset."""

    title: str
    heights: tuple[int, int]  # smallest and largest, pixels
    widths: tuple[float, float]  # as a share of the height


KINDS = (
    Kind("Market-1501: 128 x 64", (128, 128), (0.5, 0.5)),
    Kind("MSMT17: 200 to 600 high", (200, 600), (0.35, 0.5)),
)


def write_pictures(folder: Path, kind: Kind, count: int) -> list[str]:
    """JPEG files of quality 95: large patches of colour with fine noise on them, which compress like photographs."""
    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        height = int(rng.integers(kind.heights[0], kind.heights[1] + 1))
        width = round(height * rng.uniform(*kind.widths))
        patches = Image.fromarray(rng.integers(0, 255, (16, 8, 3), np.uint8)).resize((width, height), Image.BICUBIC)
        noisy = np.asarray(patches) + rng.normal(0, 6, (height, width, 3))
        paths.append(str(folder / f"{number:06d}.jpg"))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=95)
    return paths


def make_manager(paths: list[str]) -> Any:
    """What a data manager has that training images need, with the paper's transforms; one process."""
    with contextlib.redirect_stdout(io.StringIO()):
        training, test = torchreid.data.transforms.build_transforms(HEIGHT, WIDTH, transforms=list(TRANSFORMS))
    entries = [(path, number // 4, number % 2, 0) for number, path in enumerate(paths)]
    dataset = torchreid.data.ImageDataset(entries, [], [], transform=training, verbose=False)
    loader = DataLoader(dataset, batch_size=BATCH, pin_memory=False)
    return SimpleNamespace(train_loader=loader, test_loader={}, transform_te=test)


class Cost(NamedTuple):
    """CPU seconds for one image: of loading it, and of its augmentation if that is a step of its own."""

    loading: float
    augmenting: float


def cost(batches: Iterable[dict[str, Any]], inputs: TrainingInput | None, device: torch.device) -> Cost:
    """One pass over a loader.

    Args:
        batches: the loader, in this process.
        inputs: augments the batches; None if the loader has done so.
        device: where it augments; on a GPU its seconds are those of the clock.
    """
    transfer = ImageTransfer(device)
    images, loading, augmenting = 0, 0.0, 0.0
    started = time.process_time()
    for number, batch in enumerate(batches):
        loaded = time.process_time()
        loading += loaded - started
        images += len(batch["img"])
        if inputs is not None and device.type == "cuda":
            there = transfer(batch["img"])
            torch.cuda.synchronize()
            clock = time.perf_counter()
            inputs(there, transfer, 0, number)
            synchronize("cuda")
            augmenting += time.perf_counter() - clock
        elif inputs is not None:
            inputs(batch["img"], transfer, 0, number)
            augmenting += time.process_time() - loaded
        started = time.process_time()
    return Cost(loading / images, augmenting / images)


def measure(images: int, rounds: int, device: str) -> Iterator[dict[str, Any]]:
    """Lines per kind of file and way; the ways take turns, and the fastest of the rounds counts.

    Args:
        images: number of files of each kind.
        rounds: passes of every way.
        device: where batches are augmented, ``cpu`` or ``cuda``.
    """
    place = torch.device(device)
    if device == "cuda":  # the machine is lent by the minute, and most of this is the CPU's time
        images, rounds = min(images, 512), min(rounds, 2)
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            step(f"files: {kind.title}")
            manager = make_manager(write_pictures(Path(folder), kind, images))
            loader = manager.train_loader
            inputs = TrainingInput(loader, on_device=True, seed=1)
            kept = TrainingImages(manager, ProxyLabels.from_tuples(loader.dataset.train), MEMORY)
            kept.encode(lambda batch: batch[:, 0, 0], torch.device("cpu"))
            found: dict[str, list[Cost]] = {}
            for number in range(rounds):
                step(f"round {number + 1}")
                found.setdefault("torchreid's, from files", []).append(cost(loader, None, place))
                with kept.served_to_training():
                    found.setdefault("torchreid's, from memory", []).append(cost(loader, None, place))
                found.setdefault("bytes, from files", []).append(cost(inputs.loader, inputs, place))
                in_memory = kept.from_memory(inputs.loader)
                found.setdefault("bytes, from memory", []).append(cost(in_memory, inputs, place))
        yield from ({"files": kind.title, "loader": way, **line(costs)} for way, costs in found.items())


def line(costs: list[Cost]) -> dict[str, Any]:
    """Images a second and core, of the fastest rounds."""
    loading, augmenting = min(each.loading for each in costs), min(each.augmenting for each in costs)
    return {
        "loading, images/s": round(1 / loading),
        "augmenting, images/s": round(1 / augmenting) if augmenting else "-",
        "both, images/s": round(1 / (loading + augmenting)),
    }


REPORT = Report(
    name="images",
    title="Training images per second and core, 256 x 128, batch 128",
    explained=(
        "CPU time of one process. torchreid's loader reads, resizes, converts and augments image by image. The "
        "engine's loads bytes, and batches are augmented on the model's device, so with a GPU a core only does the "
        "loading; on a CPU, both. From memory: the resized images are kept (ccafl.extraction_memory)."
    ),
    sizes={"full": {"images": 1280, "rounds": 3}, "quick": {"images": 130, "rounds": 1}},
    measure=measure,
    devices=("cpu", "cuda"),
)
