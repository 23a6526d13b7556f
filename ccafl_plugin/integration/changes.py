"""Changes to torchreid's modules and registries, made all together or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, uses
from ccafl_plugin.utils.errors import CCAFLError


@dataclasses.dataclass(frozen=True)
class Change:
    """One write and the way back."""

    apply: Callable[[], None]
    undo: Callable[[], None]


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


def set_attribute(owner: Any, name: str, value: Any) -> Change:
    """``owner.name = value`` for a module or class; the way back restores or deletes the name."""
    missing = object()
    before = vars(owner).get(name, missing)

    def undo() -> None:
        if before is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, before)

    return Change(lambda: setattr(owner, name, value), undo)


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
    return Change(lambda: registry.__setitem__(name, value), lambda: registry.pop(name))


def new_entry(names: list[str], what: str, name: str) -> Change:
    """``names.append(name)`` for a name that must be free.

    Raises:
        CCAFLError: the name is taken.
    """
    if name in names:
        raise CCAFLError(
            f"torchreid has a {what} {name!r} already. Give yours another name before ccafl_plugin's is added."
        )
    return Change(lambda: names.append(name), lambda: names.remove(name))


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
