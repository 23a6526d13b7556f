"""Changes to torchreid's modules and registries, made all together or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, uses
from ccafl_plugin.utils.errors import CCAFLError


@dataclasses.dataclass(frozen=True)
class Change:
    """One write and the way back.

    Attributes:
        where: what is written, as an error names it.
        apply: writes.
        undo: puts back what was there.
        is_in_place: whether what was written is still there.
    """

    where: str
    apply: Callable[[], None]
    undo: Callable[[], None]
    is_in_place: Callable[[], bool]


def apply_all(changes: Sequence[Change]) -> None:
    """Applies the changes in order. If one fails, those before it are undone and the error is raised."""
    done: list[Change] = []
    try:
        for change in changes:
            change.apply()
            done.append(change)
    except BaseException:
        for change in reversed(done):
            change.undo()
        raise


def undo_all(changes: Sequence[Change]) -> None:
    """Undoes changes, the last one first.

    Raises:
        CCAFLError: one of them has been overwritten by something else since; nothing is undone then.
    """
    for change in changes:
        if not change.is_in_place():
            raise CCAFLError(
                f"{change.where} was changed again after ccafl_plugin had changed it. Undo that before unregister()."
            )
    for change in reversed(changes):
        change.undo()


def set_attribute(owner: Any, name: str, value: Any) -> Change:
    """``owner.name = value`` for a module or class; the way back restores or deletes the name."""
    missing = object()
    before = vars(owner).get(name, missing)

    def undo() -> None:
        if before is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, before)

    return Change(
        where=f"{getattr(owner, '__name__', owner)}.{name}",
        apply=lambda: setattr(owner, name, value),
        undo=undo,
        is_in_place=lambda: vars(owner).get(name, missing) is value,
    )


def new_attribute(owner: Any, name: str, value: Any) -> Change:
    """Like :func:`set_attribute` for a name that must be free.

    Raises:
        CCAFLError: the name is taken.
    """
    if hasattr(owner, name):
        raise CCAFLError(f"{owner.__name__}.{name} exists already. Register ccafl_plugin before other extensions.")
    return set_attribute(owner, name, value)


def new_item(registry: dict[str, Any], what: str, name: str, value: Any) -> Change:
    """``registry[name] = value`` for a name that must be free.

    Raises:
        CCAFLError: the name is taken.
    """
    if name in registry:
        raise CCAFLError(
            f"torchreid has a {what} {name!r} already. Give yours another name before ccafl_plugin's is added."
        )
    return Change(
        where=f"torchreid's {what} {name!r}",
        apply=lambda: registry.__setitem__(name, value),
        undo=lambda: registry.__delitem__(name),
        is_in_place=lambda: registry.get(name) is value,
    )


def new_entry(names: list[str], what: str, name: str) -> Change:
    """``names.append(name)`` for a name that must be free.

    Raises:
        CCAFLError: the name is taken.
    """
    if name in names:
        raise CCAFLError(
            f"torchreid has a {what} {name!r} already. Give yours another name before ccafl_plugin's is added."
        )
    return Change(
        where=f"torchreid's {what} {name!r}",
        apply=lambda: names.append(name),
        undo=lambda: names.remove(name),
        is_in_place=lambda: name in names,
    )


def replace_everywhere(original: Any, replacement: Any, *expected: str) -> list[Change]:
    """Binds ``replacement`` wherever one of torchreid's modules has ``original``, imports by name included.

    Args:
        original: a function of torchreid.
        replacement: what takes its place.
        expected: modules, by the end of their names, that must be among the places.

    Raises:
        IncompatibleTorchreid: one of the expected modules doesn't use the original.
    """
    places = list(uses(original))
    for ending in expected:
        if not any(module.__name__.endswith(f".{ending}") for module, _ in places):
            raise IncompatibleTorchreid(f"{ending} does not use {original.__module__}.{original.__qualname__}")
    return [set_attribute(module, name, replacement) for module, name in places]
