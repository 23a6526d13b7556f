"""Some rows of a suite under other names, for a short table on a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ccafl_plugin.suites.outcomes import Outcomes
from ccafl_plugin.utils.errors import unknown_name


def excerpt(outcomes: Outcomes, labels: Mapping[str, str]) -> Outcomes:
    """The same outcomes, but the table shows only some rows.

    Rows that are not shown are kept, because differences may refer to them.

    Args:
        outcomes: outcomes of a suite.
        labels: name of a row -> its name in the excerpt; rows are shown in this order.

    Raises:
        CCAFLError: the suite has no such row.
    """
    rows = {row.name: row for row in outcomes.suite.rows}
    for name in labels:
        if name not in rows:
            raise unknown_name(f"a row of {outcomes.suite.name}", name, rows)
    hidden = [replace(row, is_trunk=True) for name, row in rows.items() if name not in labels]
    shown = [
        replace(rows[name], name=label, compare=labels.get(rows[name].compare, rows[name].compare))
        for name, label in labels.items()
    ]
    suite = replace(outcomes.suite, rows=(*hidden, *shown))
    found = {(labels.get(row, row), data, seed): content for (row, data, seed), content in outcomes.found.items()}
    return Outcomes(suite, found, outcomes.failures, outcomes.missing)
