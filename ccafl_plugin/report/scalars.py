"""Numbers of a run over time, from its TensorBoard files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ccafl_plugin.utils.errors import CCAFLError

FILES = "events.out.tfevents.*"


@dataclass(frozen=True)
class Series:
    """One number over time.

    Attributes:
        steps: iterations or epochs, ascending.
        values: finite.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def before(self, step: float) -> Series:
        """The part below a step."""
        kept = sum(each < step for each in self.steps)
        return Series(self.steps[:kept], self.values[:kept])

    def followed_by(self, later: Series) -> Series:
        """With another series behind it, which holds where the two overlap."""
        first = self.before(later.steps[0]) if later.steps else self
        return Series(first.steps + later.steps, first.values + later.values)


def read_scalars(folder: Path) -> dict[str, Series]:
    """All series in a run's folder, by their tags.

    A run that was resumed has several files. Where they overlap, the later one holds: it repeated these epochs.

    Args:
        folder: of the run; folders inside it are those of other runs.

    Raises:
        CCAFLError: a file can't be read.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = sorted(folder.glob(FILES))
    found: dict[str, list[tuple[int, float]]] = {}
    for file in files:
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        try:
            events.Reload()
            parts = {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        except Exception as error:  # whatever its parser says of a file of another kind
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise CCAFLError(f"{file.name} can't be read ({reason}).") from error
        for tag, points in parts.items():
            first = min((step for step, _ in points), default=0)
            found[tag] = [point for point in found.get(tag, []) if point[0] < first] + points
    return {tag: _series(points) for tag, points in found.items()}


def _series(points: list[tuple[int, float]]) -> Series:
    kept = sorted((step, value) for step, value in dict(points).items() if math.isfinite(value))
    return Series(tuple(step for step, _ in kept), tuple(value for _, value in kept))


def below(scalars: Mapping[str, Series], prefix: str) -> dict[str, Series]:
    """Series whose tags begin with ``PREFIX/``, by the rest of the tag."""
    start = f"{prefix}/"
    return {tag.removeprefix(start): series for tag, series in scalars.items() if tag.startswith(start)}
