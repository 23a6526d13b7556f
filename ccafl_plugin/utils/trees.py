"""Converts nested settings to flat ones, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a tree as (key with dots, value), in the tree's order.

    Args:
        node: a tree of any depth; a mapping among the values is a branch, any other value is a leaf.
        prefix: put before every key.
    """
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of flat settings, the inverse of :func:`leaves`.

    Args:
        flat: key with dots -> value.
    """
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[leaf] = value
    return tree
