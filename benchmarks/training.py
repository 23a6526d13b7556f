"""Steps of stage 2 over images that lie in memory: the engine that a configuration makes, without a dataset."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torchreid
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.random_weights import repeated_draws
from benchmarks.steps import step as begin_step
from ccafl_plugin.config import arguments, load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.loss_report import LossReport
from ccafl_plugin.engine.model_outputs import split_outputs
from ccafl_plugin.options import options
from ccafl_plugin.runs import building
from ccafl_plugin.terms import Batch, EpochState, Term
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.dtypes import uses_tf32

ENOUGH_SECONDS = 2.5
"""For the iterations of a measurement."""


class Pictures(Dataset):
    """A training list without pictures: one image of every proxy."""

    transform = None

    def __init__(self, proxies: int, cameras: int) -> None:
        self.train = [(f"{proxy}.jpg", proxy // cameras, proxy % cameras, 0) for proxy in range(proxies)]

    def __len__(self) -> int:
        return len(self.train)


def make_engine(
    name: str, proxies: int, cameras: int, device: str, settings: Sequence[str] = ()
) -> tuple[ImageCCAFLEngine, Any]:
    """The engine of a shipped configuration, with random weights and filled memories.

    Args:
        name: of the configuration.
        proxies: N.
        cameras: C; a person has a proxy in every camera.
        device: ``cpu`` or ``cuda``.
        settings: KEY VALUE pairs that change the configuration.

    Returns:
        The engine and the configuration.
    """
    fixed = ["model.pretrained", "False", "use_gpu", str(device == "cuda"), "train.optim", "adam"]
    config = load_config(configs_folder() / name, [*fixed, *settings])
    options.update(**arguments.option_values(config))
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = device == "cuda"
    torch.set_float32_matmul_precision(config.ccafl.matmul_precision)
    torch.backends.cudnn.allow_tf32 = uses_tf32()
    pictures = Pictures(proxies, cameras)
    manager = SimpleNamespace(
        train_loader=DataLoader(pictures, batch_size=config.train.batch_size),
        test_loader={},
        transform_te=None,
        height=config.data.height,
        width=config.data.width,
        num_train_pids=pictures.train[-1][1] + 1,
    )
    begin_step("model")
    with repeated_draws():
        model = building.build_model(config, manager)
    begin_step("engine and memories")
    optimizer = torchreid.optim.build_optimizer(model, **arguments.optimizer_arguments(config))
    engine = building.build_engine(config, manager, model, optimizer, None)
    generator, dim = torch.Generator().manual_seed(1), engine.checkpoints.architecture["feature_dim"]
    state = EpochState(
        epoch=0,
        features=F.normalize(torch.randn(proxies, dim, generator=generator)).to(engine.device),
        proxies=engine.epoch_start.proxies,
        pseudo_of_proxy=engine.labels.person_of_proxy.to(engine.device),
        text=engine.text.of_proxies,
        seed=1,
    )
    for term in engine.terms:
        term.refresh(state)
    engine.set_model_mode("train")
    return engine, config


def make_data(engine: ImageCCAFLEngine, config: Any) -> dict[str, Any]:
    """A batch of P x K random images as torchreid's loader hands it out."""
    batch_size, instances = config.train.batch_size, config.sampler.num_instances
    rows = torch.randperm(len(engine.train_loader.dataset), generator=torch.Generator().manual_seed(2))
    chosen = rows[: batch_size // instances].repeat_interleave(instances).tolist()
    images = torch.randn(len(chosen), 3, config.data.height, config.data.width)
    _, pids, camids, dsetids = zip(*(engine.train_loader.dataset.train[row] for row in chosen), strict=True)
    return {
        "img": images.pin_memory() if engine.device.type == "cuda" else images,
        "pid": torch.tensor(pids),
        "camid": torch.tensor(camids),
        "dsetid": torch.tensor(dsetids),
    }


def windows(engine: ImageCCAFLEngine, max_epoch: int) -> list[list[Term]]:
    """The different sets of terms that are active together in some epoch, earlier ones first."""
    found: list[list[Term]] = []
    for epoch in range(max_epoch):
        active = [term for term in engine.terms if term.is_active(epoch)]
        if active not in found:
            found.append(active)
    return found


def plain_step(engine: ImageCCAFLEngine, optimizer: torch.optim.Optimizer, data: dict[str, Any]) -> dict[str, float]:
    """The same iteration as one writes it first: float32, one number after the other to the host.

    Args:
        engine: made with ``ccafl.amp False ccafl.channels_last False`` and :func:`pool_as_open_clip`; its model, terms
            and labels are used.
        optimizer: a new one of the model's parameters.
        data: see :func:`make_data`.
    """
    images = data["img"].to(engine.device)
    proxies = engine.labels.proxies_of(data["dsetid"], data["camid"], data["pid"])
    outputs = split_outputs(engine.model(images))
    classes = engine.class_of_proxy[proxies]
    batch = Batch(outputs.raw, outputs.features, outputs.embeddings, outputs.logits, proxies, classes)
    for term in engine.active_terms:
        term.step_own(batch)
    parts = {f"{term.name}/{name}": part for term in engine.active_terms for name, part in term.loss(batch).items()}
    optimizer.zero_grad()
    sum(part for part in parts.values() if part.requires_grad).backward()
    optimizer.step()
    for term in engine.active_terms:
        term.update(batch)
    return {name: part.item() for name, part in parts.items()}


def pool_as_open_clip(engine: ImageCCAFLEngine) -> None:
    """Attention pooling of every position, as open_clip's own module has it."""
    tower = unwrap(engine.model).image_encoder
    tower.embed = tower.visual.attnpool


def encoder_step(engine: ImageCCAFLEngine, data: dict[str, Any]) -> None:
    """The encoder's forward and backward pass alone, in the engine's precision and parts."""
    outputs = engine.encoder.forward(data["img"])
    engine.encoder.backward(sum(output.sum() for output in outputs.tensors()))
    engine.optimizer.zero_grad(set_to_none=True)


class Timing(NamedTuple):
    """Of a step."""

    seconds: float
    peak_mb: int | None  # on a GPU, all that tensors take; None without one


def timed(step: Callable[[], Any], device: str, iterations: int, warm_up: int = 0, what: str = "") -> Timing:
    """Mean over iterations that follow each other as in a run; the device is waited for at the end only.

    Args:
        step: an iteration.
        device: ``cpu`` or ``cuda``.
        iterations: at most, if there is a warm-up: fewer, but at least three, if they would take above
            ``ENOUGH_SECONDS`` by the warm-up's last one.
        warm_up: iterations before them.
        what: name of the steps in :mod:`benchmarks.steps`.
    """
    for number in range(warm_up):
        begin_step(f"{what}: {'first iteration' if number == 0 else 'warm-up'}")
        began = time.perf_counter()
        step()
        synchronize(device)
        most = int(ENOUGH_SECONDS / max(time.perf_counter() - began, 1e-9))
        if number + 1 == warm_up > 1:  # a single one has the libraries' choices of kernels in it
            iterations = min(iterations, max(most, 3))
    begin_step(f"{what}: {iterations} iterations")
    synchronize(device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(iterations):
        step()
    synchronize(device)
    seconds = (time.perf_counter() - started) / iterations
    return Timing(seconds, torch.cuda.max_memory_allocated() // 2**20 if device == "cuda" else None)


def waits(step: Callable[[], Any], device: str) -> int | None:
    """How often the host waits for the GPU in a step; None without one. Needs a step before it, which may wait."""
    if device != "cuda":
        return None
    reads = [0]
    read = LossReport.read

    def counted(report: LossReport) -> dict[str, float]:  # an event, which torch's own counting doesn't see
        reads[0] += 1
        return read(report)

    LossReport.read = counted
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        LossReport.read = read
    return reads[0] + sum("synchroniz" in str(warning.message) for warning in caught)


def synchronize(device: str) -> None:
    """Waits for a GPU; nothing on a CPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def forget() -> None:
    """Gives back what the last engine took; call it when nothing holds that engine any more."""
    gc.collect()
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def number(value: float | None) -> float | int | str:
    """For a table: ``-`` where nothing was measured."""
    return "-" if value is None else value
