"""YAML from others: words, numbers, lists and mappings, and every other thing is one line."""

from __future__ import annotations

import copy
import functools
from typing import Any

import yaml

from ccafl_plugin.utils.errors import CCAFLError

MOST = 20_000
"""Values in a file, counted wherever an alias repeats them."""
DEEPEST = 30
"""Lists and mappings inside one another."""


def read_yaml(text: str, where: str) -> Any:
    """The content of a text in YAML.

    Args:
        text: of a configuration, a suite, or a value on the command line.
        where: the file's name, for messages.

    Raises:
        CCAFLError: it is no YAML, refers to itself, is nested too deeply or far too large, or holds something else than
            words, numbers, truth values, lists and mappings, such as a date.
    """
    return copy.deepcopy(_content(text, where))


@functools.lru_cache(maxsize=128)
def _content(text: str, where: str) -> Any:
    """As :func:`read_yaml`; the rows of a suite read the same few files again and again, which takes seconds."""
    try:
        content = yaml.safe_load(text)
    except RecursionError as error:
        raise CCAFLError(f"{where}: it is nested too deeply; at most {DEEPEST} levels are read.") from error
    except (yaml.YAMLError, ValueError) as error:  # an impossible date is a ValueError
        raise CCAFLError(f"{where}: not a YAML file: {' '.join(str(error).split())[:300]}.") from error
    _Walk(where).check(content, "", 0)
    return content


class _Walk:
    """Visits every value of a content once for each place that it has."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.count = 0

    def check(self, value: Any, place: str, depth: int) -> None:
        self.count += 1
        at = f"{place}: " if place else ""
        if depth > DEEPEST:
            raise CCAFLError(
                f"{self.where}: {at[:60]}it refers to itself or is nested too deeply; at most {DEEPEST} levels "
                "are read."
            )
        if self.count > MOST:
            raise CCAFLError(f"{self.where}: it holds more than {MOST} values; at most these are read.")
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, (str, int, float)) or isinstance(key, bool):
                    raise CCAFLError(f"{self.where}: {at}the key {key!r} is no word; quote it.")
                self.check(item, f"{place}.{key}".removeprefix("."), depth + 1)
        elif isinstance(value, list):
            for item in value:
                self.check(item, place, depth + 1)
        elif value is not None and not isinstance(value, (str, int, float, bool)):
            kind = type(value).__name__
            raise CCAFLError(
                f"{self.where}: {at}a {kind} ({str(value)[:40]!r}) is no setting; quote it to make it a word."
            )
