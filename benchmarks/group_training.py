"""Trains by ``ccafl-train``'s own code, alone or as one process of a group, as :func:`be_process` of a new process.

No files of the run are written. The job is a JSON file:

- ``device``: ``cpu`` or ``cuda``.
- ``steps``: files into which the first process writes its steps, too.
- ``backend``: of the group; null for none.
- ``runs``: what is trained, one after the other: ``name``, ``file`` of the configuration, ``settings``.
- ``folder``: for ``NAME.PROCESS.steps`` (:mod:`benchmarks.steps`), and for results: ``NAME.PROCESS.json``, and
  ``NAME.pt`` with the weights, as soon as a run is finished. Runs
  whose results lie there are left out, so a job that failed can be started again behind the failure.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import ccafl_plugin  # noqa: F401  before torchreid
from benchmarks import steps
from benchmarks.random_weights import repeated_draws
from benchmarks.training import synchronize
from ccafl_plugin.config import load_config
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.checkpointing import Checkpointing
from ccafl_plugin.engine.text_side import TextSide
from ccafl_plugin.runs import building, train_command
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
        watched: list[tuple[Any, str, Callable[..., Any]]] = [
            (ImageCCAFLEngine, "start_epoch_of_terms", self._start),
            (ImageCCAFLEngine, "forward_backward", self._step),
            (ImageCCAFLEngine, "train", self._train),
            (ImageCCAFLEngine, "test", named("test")),
            (TextSide, "learn", named("stage 1")),
            (building, "build_model", build_quickly),
            # Files, and torch's report on the system: they take longer than all that is measured.
            *((Checkpointing, name, leave_out) for name in ("save", "note_scores")),
            *((train_command, name, leave_out) for name in ("write_config_and_system", "finish")),
        ]
        with contextlib.ExitStack() as stack:
            for owner, name, watch in watched:
                function = getattr(owner, name)
                stack.callback(setattr, owner, name, function)
                setattr(owner, name, through(watch, function))
            yield

    def _start(self, start: Callable[..., None], engine: Any) -> None:
        if self.first_weights is None:
            self.first_weights = weights_of(engine.model)
        synchronize(self.device)
        steps.step(f"start of epoch {engine.epoch + 1}")
        began = time.perf_counter()
        start(engine)
        synchronize(self.device)
        self.starts.append(time.perf_counter() - began)

    def _step(self, step: Callable[..., dict[str, float]], engine: Any, data: Any) -> dict[str, float]:
        first, sums = engine.num_batches // 4, self.steps
        if engine.batch_idx < 2:
            steps.step(f"epoch {engine.epoch + 1}: {('first iteration', 'iterations')[engine.batch_idx]}")
        if engine.batch_idx == first:
            synchronize(self.device)
            self._began = time.perf_counter()
        elif engine.batch_idx > first:
            sums["between"] += time.perf_counter() - self._ended
        numbers = step(engine, data)
        self._ended = time.perf_counter()
        self.losses.append(dict(numbers))
        if engine.batch_idx >= first:
            sums["number"] += 1
            sums["images"] += len(data["pid"])
        if engine.batch_idx + 1 == engine.num_batches:
            synchronize(self.device)
            sums["seconds"] += time.perf_counter() - self._began
        return numbers

    def _train(self, train: Callable[..., None], engine: Any, *given: Any, **named: Any) -> None:
        train(engine, *given, **named)
        self.weights, self.statistics = weights_of(engine.model), statistics_of(engine.model)
        if self.device == "cuda":
            self.peak_mb = torch.cuda.max_memory_allocated() // 2**20


def through(watch: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls ``watch(method, self, ...)``."""

    @functools.wraps(method)
    def called(*given: Any, **named: Any) -> Any:
        return watch(method, *given, **named)

    return called


def named(step: str) -> Callable[..., Any]:
    """Calls a method in a step of this name."""

    def call(method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        steps.step(step)
        return method(*given, **named)

    return call


def build_quickly(build: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Builds a model whose random weights are there within a moment, equal in all processes."""
    steps.step("model")
    with repeated_draws():
        model = build(*given, **named)
    steps.step("engine")
    return model


def leave_out(*_: Any, **__: Any) -> None:
    """Instead of a method."""


def weights_of(model: Any) -> torch.Tensor:
    """(P,) float32 on the CPU: all parameters."""
    return torch.cat([each.detach().flatten().float().cpu() for each in unwrap(model).parameters()])


def statistics_of(model: Any) -> torch.Tensor:
    """(S,) float32 on the CPU: all running means and variances."""
    found = [each.flatten().float().cpu() for name, each in unwrap(model).named_buffers() if "running_" in name]
    return torch.cat(found) if found else torch.zeros(0)


def train(run: dict[str, Any], folder: Path, device: str, report: Sequence[str] = ()) -> None:
    """One run; writes what was measured.

    Args:
        run: see above.
        folder: see above.
        device: see above.
        report: files into which the first process writes its steps, too.
    """
    number = int(os.environ.get("RANK", "0"))
    steps.follow(folder / f"{run['name']}.{number}.steps", *(Path(file) for file in report if number == 0))
    steps.step(f"data of {run['name']}")
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


def be_process(job_file: str, environment: dict[str, str], log: str) -> None:
    """Trains what is left of a job, in a process of its own, and ends it.

    Args:
        job_file: see above.
        environment: variables, those of ``torchrun`` among them for a group.
        log: a file for all that is printed.
    """
    stream = open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  until the process ends
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    code = 1
    try:
        os.environ.update(environment)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads()))
        code = train_all(json.loads(Path(job_file).read_text()))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # without waiting for other processes


def train_all(job: dict[str, Any]) -> int:
    """Trains what is left of a job; 1 if a run has failed, with which it ends."""
    folder, device, backend = Path(job["folder"]), job["device"], job["backend"]
    number = os.environ.get("RANK", "0")
    if device == "cuda":
        torch.cuda.set_device(0)
        torch.zeros(1, device=device)
    if backend is not None:
        torch.distributed.init_process_group(backend)
        if torch.distributed.get_world_size() == 1:
            take_one_for_several()
    for run in job["runs"]:
        name = run["name"]
        if (folder / f"{name}.{number}.json").exists() or list(folder.glob(f"{name}.*.error")):
            continue
        try:
            train(run, folder, device, job["steps"])
        except BaseException as error:
            (folder / f"{name}.{number}.error").write_text(f"{type(error).__name__}: {error}")
            traceback.print_exc()
            return 1  # the group, or the GPU, may be broken; the job is started again for what is left
        gc.collect()
        torch._dynamo.reset()  # noqa: SLF001  as training.forget
        if device == "cuda":
            torch.cuda.empty_cache()
    return 0
