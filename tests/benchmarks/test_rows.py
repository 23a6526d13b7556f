"""Every row of the benchmark at its small size: both ways give the same."""

from __future__ import annotations

import pytest

from benchmarks.measure import as_array
from benchmarks.rows import ROWS
from benchmarks.run import largest_difference


@pytest.mark.parametrize("name", ROWS)
def test_both_ways_agree(name):
    row = ROWS[name]
    results = []
    for way in (row.ours, row.usual):
        problem = row.prepare(**row.size("quick"), device="cpu")
        results.append({key: as_array(value) for key, value in way(problem).items()})
    assert largest_difference(*results) <= row.tolerance
    assert any(abs(value).max() > 0 for value in results[0].values())
    if row.bound is not None:
        row.bound(row.prepare(**row.size("quick"), device="cpu"))


@pytest.mark.parametrize("name", ROWS)
def test_what_a_row_says(name):
    row = ROWS[name]
    assert row.name == name
    assert set(row.sizes) == {"full", "quick"}
    assert set(row.usual_size) <= set(row.sizes["full"])
    assert row.size("usual") == {**row.sizes["full"], **row.usual_size}
    if row.usual_size:
        assert row.usual_bytes(**row.size("full")) > row.usual_bytes(**row.size("usual"))
