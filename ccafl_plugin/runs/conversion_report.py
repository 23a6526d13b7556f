"""What became of the tensors of a file that was converted: used, renamed, left over and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ccafl_plugin.models.weights_of_others import Conversion


def report_lines(made: Conversion, file: Path) -> Iterator[str]:
    """What became of the tensors, those of one part in one line."""
    changed = sum(old != new for old, new in made.renamed.items())
    yield (
        f"{file}: {made.kind}: {len(made.renamed)} tensors used ({changed} renamed), {len(made.left_over)} left over"
    )
    for (old, new), count in Counter(map(_parts, made.renamed.items())).items():
        yield f"  used: {old}" + (f" -> {new}" if old != new else "") + f" ({count})"
    reasons = Counter((_part(name), why) for name, why in made.left_over.items())
    for (part, why), count in reasons.items():
        yield f"  left over: {part} ({count}): {why}"
    for note in made.notes:
        yield f"  note: {note}"


def every_tensor(made: Conversion) -> Iterator[str]:
    """What became of every single tensor, in a line each."""
    for old, new in made.renamed.items():
        yield f"used {old} -> {new}"
    for name, why in made.left_over.items():
        yield f"left over {name}: {why}"


def _parts(pair: tuple[str, str]) -> tuple[str, str]:
    """Two names without the end that they share: a.x.weight, b.c.x.weight -> a.*, b.c.*."""
    old, new = pair
    olds, news = old.split("."), new.split(".")
    shared = 0
    while shared < min(len(olds), len(news)) and olds[-1 - shared] == news[-1 - shared]:
        shared += 1
    if old == new:
        return _part(old), _part(old)
    if not shared:
        return pair
    first, second = (".".join([*names[: len(names) - shared], "*"]) for names in (olds, news))
    return first, second


def _part(name: str) -> str:
    first, _, rest = name.removeprefix("module.").partition(".")
    return f"{first}.*" if rest else first
