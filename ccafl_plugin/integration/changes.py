"""Changes to torchreid's modules and registries: either all are made, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, uses
from ccafl_plugin.utils.errors import CCAFLError


@dataclasses.dataclass(frozen=True)
class Change:
    """One write and how it is undone.

    Attributes:
        where: the changed place, for error messages.
        apply: makes the change.
        undo: restores the previous value.
        is_in_place: True if the written value is still there.
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
        CCAFLError: other code has overwritten one of them since; then nothing is undone.
    """
    for change in changes:
        if not change.is_in_place():
            raise CCAFLError(
                f"{change.where} was changed again after ccafl_plugin changed it. Undo that change before unregister()."
            )
    for change in reversed(changes):
        change.undo()


def set_attribute(owner: Any, name: str, value: Any) -> Change:
    """``owner.name = value`` for a module or class; undoing restores or deletes the name."""
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
        raise CCAFLError(f"{owner.__name__}.{name} already exists. Register ccafl_plugin before other extensions.")
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
    """Replaces ``original`` in all of torchreid's modules, including modules that imported it by name.

    Args:
        original: a function of torchreid.
        replacement: the function that replaces it.
        expected: modules, by the end of their names, that must use the original.

    Raises:
        IncompatibleTorchreid: one of the expected modules does not use the original.
    """
    places = list(uses(original))
    for ending in expected:
        if not any(module.__name__.endswith(f".{ending}") for module, _ in places):
            raise IncompatibleTorchreid(f"{ending} does not use {original.__module__}.{original.__qualname__}")
    return [set_attribute(module, name, replacement) for module, name in places]
