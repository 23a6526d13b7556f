"""File names with named parts: ``{camera}/{id}_*.jpg``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ccafl_plugin.utils.errors import CCAFLError, unknown_name

GROUPS = ("camera", "id", "split", "frame")
KEY = "ccafl.data.pattern"
_TOKEN = re.compile(
    r"\{(?P<name>[^{}:]*)(?::(?P<rule>(?:[^{}]|\{[0-9,]*\})*))?\}|(?P<deep>\*\*)|(?P<any>\*)|(?P<text>[^{}*]+)"
)


@dataclass(frozen=True)
class NamePattern:
    """A pattern of file names below a folder.

    ``{camera}``, ``{id}``, ``{split}`` and ``{frame}`` are named parts: at least one character, none of them ``/``, as
    few as fit. ``{id:[0-9]{4}}`` says by a regular expression what fits. ``*`` and ``{*}`` are ignored parts without
    ``/``, ``**`` is one with any. Everything else stands for itself.

    Attributes:
        text: as it was written.
        pieces: (as written, regular expression) of each part.

    Raises:
        CCAFLError: an unknown or repeated part, braces that don't fit, or no ``{id}``.
    """

    text: str
    pieces: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str, needs_id: bool = True) -> NamePattern:
        """Reads a pattern.

        Args:
            text: as it was written.
            needs_id: refuse one without ``{id}``.
        """
        pieces: list[tuple[str, str]] = []
        seen: set[str] = set()
        place = 0
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise CCAFLError(f"{KEY}: {text!r} has a brace at {text[place:]!r} that is not closed or not opened.")
            pieces.append((token[0], _expression(text, token, seen)))
            place = token.end()
        if needs_id and "id" not in seen:
            raise CCAFLError(f"{KEY}: {text!r} has no {{id}}, the part of a file's name that says who it is.")
        return cls(text, tuple(pieces))

    @property
    def names(self) -> set[str]:
        """The named parts that occur."""
        return set(re.compile(self._expression(len(self.pieces))).groupindex)

    def match_all(self, files: Iterable[str]) -> dict[str, dict[str, str]]:
        """The named parts of each file that fits, by file.

        Args:
            files: paths below the folder, with ``/``.
        """
        expression = re.compile(self._expression(len(self.pieces)), re.DOTALL)
        return {file: match.groupdict() for file in files if (match := expression.fullmatch(file))}

    def nearest(self, files: Iterable[str]) -> str:
        """What the file that fits furthest looks like, and where it stops to fit: the end of a message.

        Args:
            files: at least one, none of which fits.
        """
        best = (-1, "", 0)
        for count in range(len(self.pieces), -1, -1):
            expression = re.compile(self._expression(count), re.DOTALL)
            for file in files:
                match = expression.match(file)
                if match is not None and (count, match.end()) > (best[0], best[2]):
                    best = (count, file, match.end())
            if best[0] == count:
                break
        count, file, end = best
        if count == len(self.pieces):
            return f"nearest is {file!r}, which goes on with {file[end:]!r}"
        fitting = "".join(written for written, _ in self.pieces[:count])
        after = f" after {fitting!r}" if fitting else ""
        return f"nearest is {file!r}, where {self.pieces[count][0]!r} is expected{after}"

    def _expression(self, count: int) -> str:
        return "".join(expression for _, expression in self.pieces[:count])


def _expression(text: str, token: re.Match[str], seen: set[str]) -> str:
    """The regular expression of one part."""
    if token["text"] is not None:
        return re.escape(token["text"])
    if token["deep"] is not None:
        return ".*"
    name, rule = token["name"], token["rule"]
    if token["any"] is not None or name == "*":
        return "[^/]*?"
    if name not in GROUPS:
        raise unknown_name(f"{KEY}: in {text!r} the part", name, [*GROUPS, "*"])
    if name in seen:
        raise CCAFLError(f"{KEY}: {text!r} has {{{name}}} twice; write * for a part that is to be ignored.")
    seen.add(name)
    try:
        if rule is not None and re.compile(rule).groups:
            raise CCAFLError(f"{KEY}: {{{name}:{rule}}} has a group of its own; write (?:...) for it.")
    except re.error as error:
        raise CCAFLError(f"{KEY}: {{{name}:{rule}}} is no regular expression: {error}.") from error
    return f"(?P<{name}>{'[^/]+?' if rule is None else rule})"
