"""One line of the table: a piece of work, the straightforward way to do it, and this package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Result = Mapping[str, Any]  # named tensors, arrays or numbers
Size = Mapping[str, int]


@dataclass(frozen=True)
class Row:
    """A hot path.

    Args:
        name: for ``--only``.
        title: what is done, at which size.
        usual_title: what the usual way is.
        sizes: ``full`` and ``quick`` arguments of ``prepare``.
        prepare: makes the input; takes a size's entries and ``device`` by name. Neither timed nor counted as memory.
        usual: the straightforward way; takes what ``prepare`` made.
        ours: this package's.
        bound: work that no way can avoid, such as a bare matrix product.
        tolerance: largest difference allowed between the results; 0 for equal.
        usual_size: entries of ``full`` that are smaller where the usual way would take too long or too much memory; the
            two ways are compared at that size then.
        usual_bytes: what the usual way's largest arrays would need at a size; goes with ``usual_size``.
        on_gpu: whether the work can run on a GPU.
    """

    name: str
    title: str
    usual_title: str
    sizes: Mapping[str, Size]
    prepare: Callable[..., Any]
    usual: Callable[[Any], Result]
    ours: Callable[[Any], Result]
    bound: Callable[[Any], Result] | None = None
    tolerance: float = 0.0
    usual_size: Size = field(default_factory=dict)
    usual_bytes: Callable[..., int] | None = None
    on_gpu: bool = False

    def size(self, name: str) -> dict[str, int]:
        """``full``, ``quick``, or ``usual``: the full one as far as the usual way can go."""
        return {**self.sizes["full"], **self.usual_size} if name == "usual" else dict(self.sizes[name])
