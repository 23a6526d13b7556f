"""Shared code of the rows of the two associations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problems import PROXY_SIZES, Proxies, proxies
from benchmarks.row import Row
from ccafl_plugin.association import associate


def association_row(name: str, usual_title: str, usual: Callable[[Proxies], dict[str, Any]], **options: Any) -> Row:
    """A row about one kind of association with these options."""
    return Row(
        name=name,
        title=f"association {name}, 3262 proxies x 2048",
        usual_title=usual_title,
        sizes=PROXY_SIZES,
        prepare=lambda proxies_, dim, device: proxies(proxies_, cameras=6, dim=dim),
        usual=usual,
        ours=lambda problem: {"pseudo": associate(problem.features, problem.cameras, name, **options)},
    )


def numbered(groups: np.ndarray) -> np.ndarray:
    """Groups of several in the order of their first proxy, -1 for groups of one."""
    numbers: dict[int, int] = {}
    sizes = np.bincount(groups)
    return np.array([numbers.setdefault(g, len(numbers)) if sizes[g] > 1 else -1 for g in groups.tolist()])
