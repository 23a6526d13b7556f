"""Trains by ``ccafl-train``'s own code, alone or as one process of a group: python -m benchmarks.group_training JOB.

``torchrun`` starts it for a group. The job is a JSON file:

- ``backend``: of the group; null for none.
- ``runs``: what is trained, one after the other: ``name``, ``file`` of the configuration, ``settings``.
- ``folder``: for results: ``NAME.PROCESS.json``, and ``NAME.pt`` with the weights, as soon as a run is finished. Runs
  whose results lie there are left out, so a job that failed can be started again behind the failure.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import ccafl_plugin  # noqa: F401  before torchreid
from benchmarks.training import synchronize
from ccafl_plugin.config import load_config
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.runs import train_command
from ccafl_plugin.utils.distributed import unwrap


class Several(int):
    """A number of processes that is never taken for one."""

    def __eq__(self, other: object) -> bool:
        return other != 1 and int(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __gt__(self, other: int) -> bool:
        return other == 1 or int(self) > other

    __hash__ = int.__hash__


def take_one_for_several() -> None:
    """Lets a group of one process do all that a group does: our code and ``SyncBatchNorm`` ask for its size alone."""
    size = torch.distributed.get_world_size
    torch.distributed.get_world_size = lambda group=None: Several(size(group))


class Watch:
    """What a run does, from the outside.

    Attributes:
        losses: of each iteration, by name.
        starts: seconds that each epoch's start took.
        steps: seconds and images of the iterations but for the first quarter of each epoch, and the seconds in between.
        first_weights, weights: before and after training, (P,) float32 on the CPU.
        statistics: of batch norms, after training.
        peak_mb: of tensors on the GPU.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.losses: list[dict[str, float]] = []
        self.starts: list[float] = []
        self.steps = {"seconds": 0.0, "images": 0, "number": 0, "between": 0.0}
        self.first_weights: torch.Tensor | None = None
        self.weights: torch.Tensor | None = None
        self.statistics: torch.Tensor | None = None
        self.peak_mb: int | None = None
        self._began = self._ended = 0.0

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Context in which the engine is watched."""
        watched = {"start_epoch_of_terms": self._start, "forward_backward": self._step, "train": self._train}
        with contextlib.ExitStack() as stack:
            for name, watch in watched.items():
                function = getattr(ImageCCAFLEngine, name)
                stack.callback(setattr, ImageCCAFLEngine, name, function)
                setattr(ImageCCAFLEngine, name, through(watch, function))
            yield

    def _start(self, start: Callable[..., None], engine: Any) -> None:
        if self.first_weights is None:
            self.first_weights = weights_of(engine.model)
        synchronize(self.device)
        began = time.perf_counter()
        start(engine)
        synchronize(self.device)
        self.starts.append(time.perf_counter() - began)

    def _step(self, step: Callable[..., dict[str, float]], engine: Any, data: Any) -> dict[str, float]:
        first, steps = engine.num_batches // 4, self.steps
        if engine.batch_idx == first:
            synchronize(self.device)
            self._began = time.perf_counter()
        elif engine.batch_idx > first:
            steps["between"] += time.perf_counter() - self._ended
        numbers = step(engine, data)
        self._ended = time.perf_counter()
        self.losses.append(dict(numbers))
        if engine.batch_idx >= first:
            steps["number"] += 1
            steps["images"] += len(data["pid"])
        if engine.batch_idx + 1 == engine.num_batches:
            synchronize(self.device)
            steps["seconds"] += time.perf_counter() - self._began
        return numbers

    def _train(self, train: Callable[..., None], engine: Any, *given: Any, **named: Any) -> None:
        train(engine, *given, **named)
        self.weights, self.statistics = weights_of(engine.model), statistics_of(engine.model)
        if self.device == "cuda":
            self.peak_mb = torch.cuda.max_memory_allocated() // 2**20


def through(watch: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls ``watch(method, self, ...)``."""

    @functools.wraps(method)
    def called(engine: Any, *given: Any, **named: Any) -> Any:
        return watch(method, engine, *given, **named)

    return called


def weights_of(model: Any) -> torch.Tensor:
    """(P,) float32 on the CPU: all parameters."""
    return torch.cat([each.detach().flatten().float().cpu() for each in unwrap(model).parameters()])


def statistics_of(model: Any) -> torch.Tensor:
    """(S,) float32 on the CPU: all running means and variances."""
    found = [each.flatten().float().cpu() for name, each in unwrap(model).named_buffers() if "running_" in name]
    return torch.cat(found) if found else torch.zeros(0)


def train(run: dict[str, Any], folder: Path, device: str) -> None:
    """One run; writes what was measured."""
    number = int(os.environ.get("RANK", "0"))
    place = folder / f"{run['name']}.run"
    config = load_config(run["file"], [*run["settings"], "data.save_dir", str(place)])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    watch, began = Watch(device), time.perf_counter()
    with watch.on():
        train_command.run(config)
    if number == 0:
        tensors = {"first": watch.first_weights, "last": watch.weights, "statistics": watch.statistics}
        torch.save(tensors, folder / f"{run['name']}.pt")
    measured = {"losses": watch.losses, "starts": watch.starts, "steps": watch.steps, "peak_mb": watch.peak_mb}
    measured["seconds"] = time.perf_counter() - began
    write(folder / f"{run['name']}.{number}.json", measured)


def write(file: Path, found: Any) -> None:
    """As JSON; whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.replace(file)


def main(job_file: str) -> int:
    """Trains what is left of a job."""
    job = json.loads(Path(job_file).read_text())
    folder, device, backend = Path(job["folder"]), job["device"], job["backend"]
    (folder / f"{os.getpid()}.pid").touch()
    if device == "cuda":
        torch.cuda.set_device(0)
    if backend is not None:
        torch.distributed.init_process_group(backend)
        if torch.distributed.get_world_size() == 1:
            take_one_for_several()
    code = 0
    for run in job["runs"]:
        name, number = run["name"], os.environ.get("RANK", "0")
        if (folder / f"{name}.{number}.json").exists() or list(folder.glob(f"{name}.*.error")):
            continue
        try:
            train(run, folder, device)
        except BaseException as error:
            (folder / f"{name}.{number}.error").write_text(f"{type(error).__name__}: {error}")
            traceback.print_exc()
            code = 1
            break  # the group, or the GPU, may be broken; the job is started again for what is left
        gc.collect()
        torch._dynamo.reset()  # noqa: SLF001  as training.forget
        if device == "cuda":
            torch.cuda.empty_cache()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without waiting for other processes


if __name__ == "__main__":
    main(sys.argv[1])
