"""Counts of what was refused, at the end of pytest's output."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

COUNTS: Counter[str] = Counter()


@pytest.fixture
def count() -> Counter[str]:
    """Tests add to it by what they have tried."""
    return COUNTS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line per kind."""
    if COUNTS:
        terminalreporter.section("hostile files")
        for kind, number in sorted(COUNTS.items()):
            terminalreporter.line(f"{number:4d} {kind}")
