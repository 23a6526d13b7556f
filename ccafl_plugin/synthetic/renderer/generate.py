"""Renders a benchmark to files on all cores; the folder appears only when it is complete."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from ccafl_plugin.synthetic.renderer.cameras import FEWEST, camera_of, check_cameras
from ccafl_plugin.synthetic.renderer.frame import render
from ccafl_plugin.synthetic.renderer.picture_plan import (
    GALLERY,
    QUERY,
    SIZES,
    TRAIN,
    Picture,
    Plan,
    Size,
    plan_benchmark,
)
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.progress import Progress, watched

RENDERER = 3
"""Version of the renderer. It is part of the folder's name, so that old pictures are not taken for new ones."""

NAME = "synthetic_persons"
PERSONS_FILE = "persons.json"
CAMERAS_FILE = "cameras.json"
"""File of benchmarks with more than six cameras."""

PARTIAL = ".partial"
STALE_SECONDS = 3600
FEW = 64
"""Below this number of pictures, starting processes takes longer than rendering."""
LOOK = 0.2
"""Seconds between two looks at how far the processes are."""
WHAT = ("pictures", "Rendering")
"""What is counted, and what is done with it."""


def folder_of(root: str | os.PathLike[str], size: str, seed: int, cameras: int = FEWEST) -> Path:
    """The folder of a benchmark below the data root.

    Raises:
        CCAFLError: the size is unknown, or the number of cameras is out of range.
    """
    if size not in SIZES:
        raise unknown_name("synthetic_size", size, SIZES)
    check_cameras(cameras)
    network = "" if cameras == FEWEST else f"_cameras{cameras}"
    return Path(root).expanduser().absolute() / NAME / f"{size}_seed{seed}{network}_r{RENDERER}"


def ensure(
    root: str | os.PathLike[str],
    size: str = "tiny",
    seed: int = 1,
    workers: int | None = None,
    cameras: int = FEWEST,
) -> Path:
    """The benchmark's folder below the data root; the benchmark is rendered if the folder does not exist.

    Args:
        root: the data root; created if it does not exist.
        size: "tiny", "small", "medium" or "large".
        seed: another seed gives another benchmark, with other people and pictures.
        workers: rendering processes; one per core by default.
        cameras: number of cameras, 6 by default; additional cameras are random.

    Returns:
        The folder with ``bounding_box_train``, ``query`` and ``bounding_box_test``.

    Raises:
        CCAFLError: an unknown size, a number of cameras out of range, or a folder that could not be written.
    """
    folder = folder_of(root, size, seed, cameras)
    if not folder.is_dir():
        generate(folder, SIZES[size], seed, workers, cameras)
    return folder


def generate(
    folder: str | os.PathLike[str], size: Size, seed: int = 1, workers: int | None = None, cameras: int = FEWEST
) -> Path:
    """Renders a benchmark into a folder that does not exist yet.

    The pictures are written into a temporary folder, which is then renamed. So an interrupted run leaves no partial
    benchmark. If two processes render the same benchmark at once, one of them uses the other's result.

    Args:
        folder: the folder that will contain ``bounding_box_train``, ``query`` and ``bounding_box_test``.
        size: numbers of persons.
        seed: seed of all random draws.
        workers: rendering processes; one per core by default.
        cameras: number of cameras, 6 by default; additional cameras are random.

    Returns:
        The folder.

    Raises:
        CCAFLError: the folder exists already or could not be written, or a number of cameras or processes is invalid.
    """
    folder = Path(folder)
    if folder.exists():
        raise CCAFLError(f"{folder} already exists. Remove it first, or choose another folder.")
    if workers is not None and workers < 1:
        raise CCAFLError(f"--workers: {workers} is not a number of processes. Use at least 1.")
    plan = plan_benchmark(size, seed, cameras)
    print(f"Rendering {len(plan.pictures)} pictures of {len(plan.persons)} persons into {folder} ...", flush=True)
    started = time.monotonic()
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=PARTIAL, dir=folder.parent))
        _write(plan, partial, _cores() if workers is None else workers)
        partial.chmod(0o755)  # temporary folders are private
        _move(partial, folder)
    except OSError as error:
        raise CCAFLError(f"could not write {folder}: {error.strerror or error}.") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    print(f"Rendered in {time.monotonic() - started:.1f} s.", flush=True)
    return folder


def _move(partial: Path, folder: Path) -> None:
    try:
        os.rename(partial, folder)
    except OSError:
        if not (folder / PERSONS_FILE).is_file():  # otherwise another process was faster, with the same pictures
            raise


def _write(plan: Plan, folder: Path, workers: int) -> None:
    for part in (TRAIN, QUERY, GALLERY):
        (folder / part).mkdir()
    persons = {
        str(pid): {"part": part, "caption": person.caption(), **asdict(person)}
        for pid, (part, person) in plan.persons.items()
    }
    (folder / PERSONS_FILE).write_text(json.dumps(persons, indent=1) + "\n", encoding="utf-8")
    if plan.cameras > FEWEST:
        lenses = {number + 1: asdict(camera_of(number)) for number in range(plan.cameras)}
        (folder / CAMERAS_FILE).write_text(json.dumps(lenses, indent=1) + "\n", encoding="utf-8")
    if workers == 1 or len(plan.pictures) < FEW:
        for _ in watched(_render_all(plan.pictures, folder), len(plan.pictures), *WHAT):
            pass
    else:
        _render_in_processes([plan.pictures[first::workers] for first in range(workers)], folder)


def _render_in_processes(shares: Sequence[Sequence[Picture]], folder: Path) -> None:
    # Forked processes start quickly and need no guarded main module; some systems only support spawn.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)  # typeshed gives the base class no Process
    done = context.RawArray("q", len(shares))  # without a lock, which a killed process could keep
    processes = [
        context.Process(target=_work, args=(share, folder, os.getpid(), done, place))
        for place, share in enumerate(shares)
    ]
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns when a process with threads is forked; these processes use NumPy and Pillow only.
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            for process in processes:
                process.start()
        with Progress(sum(len(share) for share in shares), *WHAT) as progress:
            for process in processes:
                while process.is_alive():
                    process.join(LOOK)
                    progress.add(sum(done) - progress.done)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()
    if any(process.exitcode for process in processes):
        raise OSError("a process that renders pictures has failed")


def _work(pictures: Sequence[Picture], folder: Path, parent: int, done: Any, place: int) -> None:
    """Renders a share; ``done[place]`` says how many pictures are finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which ends this process
    for _ in _render_all(pictures, folder, parent):
        done[place] += 1


def _render_all(pictures: Sequence[Picture], folder: Path, parent: int | None = None) -> Iterator[Picture]:
    """Renders and writes pictures; stops if ``parent`` has ended, so that a killed run leaves no working processes.

    Yields:
        Each picture that is finished.
    """
    for picture in pictures:
        if parent is not None and os.getppid() != parent:
            return
        quality = camera_of(picture.frame.camera).quality
        Image.fromarray(render(picture.frame)).save(folder / picture.folder / picture.name, quality=quality)
        yield picture


def _remove_stale(folder: Path) -> None:
    """Removes old temporary folders that a killed run has left."""
    for partial in folder.parent.glob(f".{folder.name}.*{PARTIAL}"):
        if time.time() - partial.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
