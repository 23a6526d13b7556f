"""Counts of what tests have tried, shown at the end of pytest's output, also of tests that ran in other processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

_COUNTS: dict[str, Counter[str]] = {}


def counter(title: str) -> Counter[str]:
    """The counter of a section of the output; tests add to it by what they have tried."""
    return _COUNTS.setdefault(title, Counter())


def as_plain() -> dict[str, dict[str, int]]:
    """All counts, to be sent to the process that prints them."""
    return {title: dict(counts) for title, counts in _COUNTS.items()}


def add(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Adds the counts of another process."""
    for title, of_title in counts.items():
        counter(title).update(of_title)


def show(terminalreporter: Any) -> None:
    """A section per title, with a line per kind and their sum."""
    for title, counts in sorted(_COUNTS.items()):
        if counts:
            terminalreporter.section(title)
            for kind, number in sorted(counts.items()):
                terminalreporter.line(f"{number:5d} {kind}")
            terminalreporter.line(f"{sum(counts.values()):5d} together")
