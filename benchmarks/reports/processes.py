"""The same training by one process, by a group of one, and by two on one device: time, memory, and whether it is equal.

NCCL refuses two processes on one GPU, so the group of two sends CUDA tensors by gloo, over the host's memory.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.group_training import be_process
from benchmarks.report import Report
from benchmarks.reports.loading import write_pictures
from benchmarks.steps import followed, note, read, step, where
from ccafl_plugin.config.shipped_files import configs_folder

NETWORK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
"""All processes are on this machine, which may know no name of itself."""
PRECISIONS = {"fp32": ("ccafl.amp", "False"), "fp16": ("ccafl.precision", "fp16"), "bf16": ("ccafl.precision", "bf16")}
BOTH_KINDS = (
    # The terms of the first and of the last epochs of a run, in two epochs. Identities are given: an association is
    # all or nothing, so a difference in the last digit may change a pair, and then all that follows.
    *("train.max_epoch", "2", "ccafl.terms.icdl.last_epoch", "0", "ccafl.supervision", "full"),
    *("ccafl.terms.inter.first_epoch", "1", "ccafl.terms.alignment.first_epoch", "1"),
    *("ccafl.terms.ical.first_epoch", "1", "ccafl.stage1.epochs", "1"),
)
BASE = "one process"


class Way(NamedTuple):
    """A way to train.

    Attributes:
        name: of the processes.
        processes: how many; 0: without a group.
        backend: of the group.
        settings: KEY VALUE pairs on top of all others.
        repeats: names of runs in the same processes, each with its settings.
    """

    name: str
    processes: int
    backend: str | None
    repeats: dict[str, tuple[str, ...]]


def ways(device: str) -> list[Way]:
    """What is compared. The last way has the runs that show how far the same training differs from itself."""
    repeats: dict[str, tuple[str, ...]] = {", again": (), ", other kernels": ("ccafl.channels_last", "False")}
    several = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    named = "NCCL" if device == "cuda" else "gloo"
    return [
        Way(BASE, 0, None, {"": ()}),
        Way("two processes, gloo", 2, "gloo", {"": ()}),
        Way(f"group of one, {named}", 1, several, {"": ()}),
        Way(BASE, 0, None, repeats),
    ]


def measure(
    config: str,
    people: int,
    images: int,
    iterations: int,
    batch: int,
    precisions: Sequence[str],
    settings: tuple[str, ...],
    cpu: tuple[str, ...],
    seconds: float,
    compile_seconds: float,
    device: str,
) -> Iterator[dict[str, Any]]:
    """A line for each way and precision, as soon as it is there.

    Args:
        config: name of a shipped configuration.
        people: of the training set, each before six cameras.
        images: of a person before a camera.
        iterations: of each of the two epochs; the first quarter is not timed.
        batch: B.
        precisions: names in ``PRECISIONS``.
        settings: KEY VALUE pairs that change the configuration.
        cpu: more of them, which make the work small enough for a CPU.
        seconds: after which a way is ended; the others go on.
        compile_seconds: the same for a last line with ``ccafl.compile``; 0: left out.
        device: ``cpu`` or ``cuda``.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        torch.set_num_threads(1)  # threads that have run keep forked processes from having theirs
        step("files")
        write_pictures(folder, people, images)
        fixed = ["data.root", place, "use_gpu", str(device == "cuda"), "model.pretrained", "False", "train.seed", "1"]
        fixed += ["train.batch_size", str(batch), "test.batch_size", str(batch), *BOTH_KINDS]
        fixed += ["ccafl.iters_per_epoch", str(iterations)]
        fixed += ["train.print_freq", "1000", *settings, *(() if device == "cuda" else cpu)]
        file = str(configs_folder() / config)
        for way in ways(device):
            runs = [
                run_of(f"{way.name}{what}", precision, file, (*fixed, *more))
                for what, more in way.repeats.items()
                for precision in precisions
            ]
            yield from train(way, runs, folder, device, seconds)
        if compile_seconds:
            way = Way("two processes, gloo, compile", 2, "gloo", {})
            yield from train(
                way,
                [run_of(way.name, precisions[-1], file, (*fixed, "ccafl.compile", "True"))],
                folder,
                device,
                compile_seconds,
            )


def run_of(what: str, precision: str, file: str, settings: Sequence[str]) -> dict[str, Any]:
    """One run of a job; see :mod:`benchmarks.group_training`."""
    name = f"{what} {precision}".replace(" ", "_").replace(",", "")
    return {
        "name": name,
        "what": what,
        "precision": precision,
        "file": file,
        "settings": [*settings, *PRECISIONS[precision]],
    }


def train(way: Way, runs: list[dict[str, Any]], folder: Path, device: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Starts the processes, again behind a failure, and gives each run's line when it has ended."""
    step(way.name)
    job = folder / f"{runs[0]['name']}.job"
    facts = {"backend": way.backend, "runs": runs, "folder": str(folder), "device": device, "steps": followed()}
    job.write_text(json.dumps(facts))
    ends, waiting, tries = time.monotonic() + seconds, list(runs), 0
    while waiting and tries <= len(runs) and time.monotonic() < ends:
        tries += 1
        log, doing = Path(f"{job}.{tries}.log"), folder / f"{waiting[0]['name']}.0.steps"
        log.touch()
        doing.unlink(missing_ok=True)
        note(doing, "device and group")
        children = start(way, job, log)
        try:
            while True:
                ended = not any(child.is_alive() for child in children) or any(child.exitcode for child in children)
                while waiting and is_finished(waiting[0], way, folder):
                    yield line_of(waiting.pop(0), way, folder)
                if ended or time.monotonic() > ends:
                    break
                time.sleep(0.1)
        finally:
            now = time.time()
            for child in children:
                child.kill()
                child.join()
            done = read(folder / f"{waiting[0]['name']}.0.steps", now) if waiting else []
        if waiting and not list(folder.glob(f"{waiting[0]['name']}.*.error")):
            late = f"not ended after {seconds:.0f} s, {where(done)}"
            (folder / f"{waiting[0]['name']}.0.error").write_text(last_line(log) if ended else late)
        if waiting:
            yield line_of(waiting.pop(0), way, folder)
    for run in waiting:
        (folder / f"{run['name']}.0.error").write_text("not started")
        yield line_of(run, way, folder)


def start(way: Way, job: Path, log: Path) -> list[Any]:
    """The processes of a way. They are forked where that is safe, so they have nothing to import."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    world = max(way.processes, 1)
    group = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1"}
    group["MASTER_PORT"] = str(free_port())
    sys.stdout.flush()
    sys.stderr.flush()
    children = []
    for number in range(world):
        own = {**group, "RANK": str(number), "LOCAL_RANK": "0"} if way.processes else {}  # one GPU for all
        child = context.Process(target=be_process, args=(str(job), {**NETWORK, **own}, str(log)))
        child.start()
        children.append(child)
    return children


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def is_finished(run: dict[str, Any], way: Way, folder: Path) -> bool:
    """Whether all processes have written what they measured."""
    return all((folder / f"{run['name']}.{number}.json").exists() for number in range(max(way.processes, 1)))


def last_line(log: Path) -> str:
    """The last line that says something of an error."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or line.startswith("error:")]
    return (errors or lines or ["ended without a word"])[-1][:300]


def line_of(run: dict[str, Any], way: Way, folder: Path) -> dict[str, Any]:
    """What a run took, and how far it is from the first way's run with the same precision."""
    line: dict[str, Any] = {"training": run["what"], "precision": run["precision"]}
    line |= dict.fromkeys(COLUMNS, "-")
    errors = sorted(folder.glob(f"{run['name']}.*.error"))
    if errors:
        messages = [each.read_text() for each in errors]
        return {**line, "error": " / ".join(" ".join(message.split())[:300] for message in messages)}
    found = [
        json.loads((folder / f"{run['name']}.{number}.json").read_text()) for number in range(max(way.processes, 1))
    ]
    steps = found[0]["steps"]
    line["ms per step"] = 1000 * steps["seconds"] / steps["number"]
    line["images/s"] = steps["images"] / steps["seconds"]
    line["between steps %"] = 100 * steps["between"] / steps["seconds"]
    line["epochs' starts s"] = " + ".join(f"{value:.2f}" for value in found[0]["starts"])
    peaks = [each["peak_mb"] for each in found if each["peak_mb"] is not None]
    line["peak MB per process"] = ", ".join(map(str, peaks)) or "-"
    base = f"{BASE} {run['precision']}".replace(" ", "_")
    if (folder / f"{base}.0.json").exists():
        line |= differences(folder / base, folder / run["name"])
    return {**line, "error": "-"}


def differences(base: Path, other: Path) -> dict[str, Any]:
    """Of losses, weights and batch norms' statistics; numbers as text, because they are very small."""
    losses = [json.loads(Path(f"{each}.0.json").read_text())["losses"] for each in (base, other)]
    of_each = [
        max(abs(first[name] - second.get(name, float("nan"))) / max(abs(first[name]), 1.0) for name in first)
        for first, second in zip(*losses, strict=True)
    ]
    tensors = [torch.load(f"{each}.pt", weights_only=True) for each in (base, other)]
    apart = tensors[0]["last"] - tensors[1]["last"]
    way = (tensors[0]["last"] - tensors[0]["first"]).norm()
    buffers = tensors[0]["statistics"] - tensors[1]["statistics"]
    return {
        "losses, 1st": f"{of_each[0]:.1e}",
        "losses, 2nd": f"{of_each[1]:.1e}" if len(of_each) > 1 else "-",
        "losses, all": f"{max(of_each):.1e}",
        "weights": f"{float(apart.abs().max()):.1e}",
        "weights, of the way %": f"{100 * float(apart.norm() / way):.2g}",
        "batch norms": f"{float(buffers.abs().max()) if len(buffers) else 0.0:.1e}",
    }


COLUMNS = (
    *("ms per step", "images/s", "between steps %", "epochs' starts s", "peak MB per process"),
    *("losses, 1st", "losses, 2nd", "losses, all", "weights", "weights, of the way %", "batch norms", "error"),
)

SMALL = (
    *("model.name", "clip_tiny", "data.height", "64", "data.width", "32", "data.workers", "0"),
    *("sampler.num_instances", "2", "ccafl.crop_padding", "2", "ccafl.stage1.batch_size", "32"),
)

REPORT = Report(
    name="processes",
    title="Training by one process, by a group of one, and by two processes on one device, batch 128, 256 x 128",
    explained=(
        "ccafl-train's own code on JPEG files of Market-1501's size, CLIP RN50 from random weights, one seed: stage 1 "
        "for one epoch, an epoch with the terms of the first epochs (icdl), and one with those of the last (inter, "
        "alignment, ical). Two processes share one GPU, so they are no faster than one; NCCL refuses that, so they "
        "send by gloo, over the host's memory. The group of one goes the way of many: DistributedDataParallel, "
        "SyncBatchNorm, gathering. Between steps: share of the time outside of iterations, which is mostly waiting for "
        "images. Epochs' starts: extraction and memories (stage 1 has read the files). Peak MB: what tensors take, in "
        "each process. The rest are the largest differences from one process under the same precision: of an "
        "iteration's losses (of numbers above 1, relative), of the weights at the end, also as a share of the length "
        "of the way that they have gone, and of batch norms' running statistics. Processes sum in another order, so "
        "last digits differ, and every step multiplies that: Adam divides small gradients by their own size. How much "
        "of it says nothing about processes is in the lines of one process: again, and with other kernels "
        "(channels_last False), which sum in another order, too. Without a GPU, clip_tiny and 8 images of 64 x 32: no "
        "timing of use, each process's batch norms see its own share, and its differences are larger for it."
    ),
    sizes={
        "full": {
            "config": "market1501/ccafl_rn50.yaml",
            "people": 32,  # 768 images: batches of one size, whose kernels cuDNN chooses once
            "images": 4,
            "iterations": 8,
            "batch": 128,
            "precisions": ("fp32", "fp16"),
            "settings": (),
            "cpu": (*SMALL, "train.batch_size", "8", "test.batch_size", "8"),
            "seconds": 60.0,
            "compile_seconds": 0.0,
        },
        "quick": {
            "config": "market1501/ccafl_rn50.yaml",
            "people": 4,
            "images": 2,
            "iterations": 3,
            "batch": 8,
            "precisions": ("fp32",),
            "settings": SMALL,
            "cpu": (),
            "seconds": 120.0,
            "compile_seconds": 0.0,
        },
    },
    measure=measure,
    devices=("cpu", "cuda"),
)
