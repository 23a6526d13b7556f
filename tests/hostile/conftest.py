"""Counts of what was refused, at the end of pytest's output."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.counts import counter


@pytest.fixture
def count() -> Counter[str]:
    """Tests add to it by what they have tried."""
    return counter("hostile files")
