"""Measures whether reading and augmenting images is fast enough for training."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchreid
from PIL import Image

from benchmarks.random_weights import repeated_draws
from benchmarks.report import Report
from benchmarks.steps import step
from benchmarks.training import synchronize
from ccafl_plugin.config import arguments, load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.options import options
from ccafl_plugin.runs import building

CAMERAS = 6
FOLDERS = {"bounding_box_train": 1, "query": 1001, "bounding_box_test": 1001}  # with the first person of each


def write_pictures(root: Path, people: int, images: int) -> None:
    """Market-1501's folders, names and sizes: JPEG of 128 x 64 pixels, every person before every camera."""

    def write(place: Path, person: int, camera: int, image: int) -> None:
        pixels = np.random.default_rng([person, camera, image]).integers(0, 255, (16, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((64, 128), Image.Resampling.BICUBIC)
        name = f"{person:04d}_c{camera}s1_{image:06d}_{int(place.name != 'query'):02d}.jpg"
        picture.save(place / name, quality=95)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = []
        for folder, first in FOLDERS.items():
            place = root / "market1501" / "Market-1501-v15.09.15" / folder
            place.mkdir(parents=True)
            persons = range(first, first + (people if first == 1 else 2))
            for where in itertools.product(persons, range(1, CAMERAS + 1), range(images if first == 1 else 1)):
                written.append(pool.submit(write, place, *where))
        for each in written:
            each.result()


def measure(
    config: str, people: int, images: int, iterations: int, workers: tuple[int, ...], device: str, cpu: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Lines per number of workers and epoch: the start of the epoch, and its iterations.

    Args:
        config: name of a shipped configuration.
        people: of the training set, each before six cameras.
        images: of a person before a camera.
        iterations: of the epoch; the first quarter isn't counted.
        workers: numbers of data workers; 0 counts as the number of cores. The last one is measured without memory for
            images, too.
        device: ``cpu`` or ``cuda``.
        cpu: settings that make the work small enough for a CPU.
    """
    with tempfile.TemporaryDirectory() as folder:
        step("files")
        write_pictures(Path(folder), people, images)
        for number, memory in [*((number, None) for number in workers), (workers[-1], "0")]:
            fixed = ["data.root", folder, "data.workers", str(number or os.cpu_count()), "model.pretrained", "False"]
            fixed += ["data.save_dir", folder, "ccafl.iters_per_epoch", str(iterations)]
            fixed += ["use_gpu", str(device == "cuda"), *(() if device == "cuda" else cpu)]
            fixed += [] if memory is None else ["ccafl.extraction_memory", memory]
            yield from epochs(load_config(configs_folder() / config, fixed), device)


def epochs(config: Any, device: str) -> Iterator[dict[str, Any]]:
    """The first two epochs of a run, without the prompt stage; one epoch if no image stays in memory."""
    options.update(**arguments.option_values(config))
    torch.backends.cudnn.benchmark = device == "cuda"
    step("data")
    manager = building.build_data_manager(config)
    step("model")
    with repeated_draws():
        model = building.build_model(config, manager)
    step("engine")
    optimizer = torchreid.optim.build_optimizer(model, **arguments.optimizer_arguments(config))
    engine = building.build_engine(config, manager, model, optimizer, None)
    for number in range(2 if config.ccafl.extraction_memory else 1):
        step(f"start of epoch {number + 1}")
        started = time.perf_counter()
        engine.start_epoch_of_terms()
        synchronize(device)
        extraction = time.perf_counter() - started
        kept = f"{config.ccafl.extraction_memory} MB"
        where = {"epoch": number + 1, "memory": kept, "workers": config.data.workers, "device": device}
        extracted = {"images/s": engine.labels.num_images / extraction, "waiting for images %": "-"}
        yield {"work": "epoch's start", **where, **extracted}
        step(f"iterations of epoch {number + 1}")
        with engine.input.of_epoch(engine.train_loader, engine.epoch_start.images, number) as loader:
            trained = iterations_of(engine, loader, device)
        yield {"work": "steps", **where, **trained}


def iterations_of(engine: Any, loader: Any, device: str) -> dict[str, float]:
    """The steps of an epoch but for the first quarter."""
    engine.set_model_mode("train")
    waited, images, skipped = 0.0, 0, len(loader) // 4
    started = ended = time.perf_counter()
    for iteration, data in enumerate(loader):
        if iteration == skipped:
            synchronize(device)
            started = ended = time.perf_counter()
        if iteration >= skipped:
            waited += time.perf_counter() - ended
            images += len(data["img"])
        engine.forward_backward(data)
        ended = time.perf_counter()
    synchronize(device)
    seconds = time.perf_counter() - started
    return {"images/s": images / seconds, "waiting for images %": 100 * waited / seconds}


REPORT = Report(
    name="loading",
    title="Training from JPEG files of Market-1501's size, CLIP RN50, 256 x 128, batch 128",
    explained=(
        "Workers decode and resize images; what fits into ccafl.extraction_memory is decoded and resized once, at the "
        "first epoch's start, and needs no workers after it. Batches are augmented on the device. Waiting: share of "
        "the time in which the next batch was not ready. The epoch's start is extraction of all images and filling the "
        "memories. Without a GPU, 8 images of 64 x 32 and clip_tiny: no timing of use, it shows that everything runs."
    ),
    sizes={
        "full": {
            "config": "market1501/ccafl_rn50.yaml",
            "people": 100,
            "images": 4,
            "iterations": 40,
            "workers": (4, 0),
            "cpu": (
                *("model.name", "clip_tiny", "data.height", "64", "data.width", "32", "ccafl.iters_per_epoch", "4"),
                *("train.batch_size", "8", "sampler.num_instances", "4"),
            ),
        },
        "quick": {
            "config": "market1501/ccafl_rn50.yaml",
            "people": 4,
            "images": 2,
            "iterations": 4,
            "workers": (1,),
            "cpu": (
                *("model.name", "clip_tiny", "data.height", "64", "data.width", "32", "data.workers", "0"),
                *("train.batch_size", "8", "sampler.num_instances", "4"),
            ),
        },
    },
    measure=measure,
    devices=("cpu", "cuda"),
)
