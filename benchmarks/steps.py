"""What a report is doing, in a file that outlives its process, so that one that is ended says where the time went."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

NAME = "steps.txt"
LONG = 0.5
"""Seconds of a step that is listed by its name."""
_files: list[Path] = []  # which this process writes; none: steps are not noted


class Step(NamedTuple):
    """A step and how long it has taken, in seconds; of the last one, until it was asked."""

    name: str
    seconds: float


def follow(*files: Path) -> None:
    """From now on, :func:`step` of this process writes into these files."""
    _files[:] = files


def followed() -> list[str]:
    """The files into which :func:`step` of this process writes, for another process that is to write there, too."""
    return [str(file) for file in _files]


def step(name: str) -> None:
    """Begins a step, which ends the one before."""
    for file in _files:
        note(file, name)


def note(file: Path, name: str) -> None:
    """As :func:`step`, for another process."""
    with open(file, "a", encoding="utf-8") as stream:
        stream.write(f"{time.time():.3f} {name}\n")


def read(file: Path, until: float | None = None) -> list[Step]:
    """The steps of a file, in their order; none if there is no such file.

    Args:
        file: which :func:`step` has written.
        until: when the last step ended, by ``time.time``; None: now.
    """
    if not file.exists():
        return []
    lines = [line.split(" ", 1) for line in file.read_text(encoding="utf-8").splitlines()]
    times = [*(float(began) for began, _ in lines), time.time() if until is None else until]
    return [Step(name, times[number + 1] - times[number]) for number, (_, name) in enumerate(lines)]


def where(steps: list[Step]) -> str:
    """The step in which a process was ended, and those before it that took long; empty without any."""
    if not steps:
        return ""
    *before, last = steps
    listed = [f"{name} {seconds:.1f}" for name, seconds in before if seconds >= LONG]
    rest = sum(seconds for _, seconds in before if seconds < LONG)
    listed += [f"shorter steps {rest:.1f}"] if rest else []
    return f"in {last.name!r} for {last.seconds:.1f} s" + (f"; before it, in s: {', '.join(listed)}" if before else "")
