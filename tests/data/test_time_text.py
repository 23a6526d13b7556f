"""Times as people and cameras write them."""

from __future__ import annotations

import pytest

from ccafl_plugin.data.time_text import seconds_of
from ccafl_plugin.utils.errors import CCAFLError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12", 12.0),
        (" -0.5 ", -0.5),
        ("1970-01-02", 86400.0),
        ("1970-01-01T00:00:01.500", 1.5),
        ("1970-01-01 01:00:00", 3600.0),
        ("1970-01-01T01:00:00Z", 3600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text, "here") == seconds


@pytest.mark.parametrize("text", ["", "noon", "nan", "inf", "2026-13-01", "10:30"])
def test_no_time(text: str) -> None:
    with pytest.raises(CCAFLError, match=r"here: '.*' is no time; write seconds, or 2026-11-26T10:30:05"):
        seconds_of(text, "here")
