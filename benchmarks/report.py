"""Reports: measurements without a comparison, such as the time of a whole command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Figures = list[dict[str, Any]]  # lines of a table, all with the same keys; a key's unit is its last word


@dataclass(frozen=True)
class Report:
    """A table of its own.

    Args:
        name: for ``--only``.
        title: what is done, at which size.
        explained: what the columns mean.
        sizes: ``full`` and ``quick`` arguments of ``measure``.
        measure: does the work in a process of its own; takes a size's entries and ``device`` by name. Lines are saved
            as it gives them, so a long one yields each when it is there.
        devices: where it can be measured.
    """

    name: str
    title: str
    explained: str
    sizes: Mapping[str, Mapping[str, Any]]
    measure: Callable[..., Iterable[dict[str, Any]]]
    devices: tuple[str, ...] = ("cpu",)
