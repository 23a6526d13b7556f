"""Shortens torchreid's printed report on the datasets of a run, so that nothing is printed twice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TABLE = "=> Loaded "
SUMMARY = "  **************** Summary"
RULES = {TABLE: ("  ---", 3), SUMMARY: ("  ***", 2)}
"""First words of a block -> the start of its horizontal lines, and their number; the last one ends the block."""


@contextmanager
def nothing_twice(sources: int) -> Iterator[None]:
    """Context in which torchreid's data manager loads its datasets.

    The table of a dataset that is both source and target is printed once. With one source, the summary is left out,
    because it repeats the first line of the table.

    Args:
        sources: number of training datasets.
    """
    console = sys.stdout
    report = _Report(console, with_summary=sources > 1)
    sys.stdout = report
    try:
        yield
    finally:
        report.end()
        sys.stdout = console


class _Report:
    """A stream that holds back the lines of a block until it is known whether the block is a repetition."""

    def __init__(self, stream: Any, with_summary: bool) -> None:
        self.stream = stream
        self.with_summary = with_summary
        self.begun, self.is_shown = "", False  # letters of a line without an end, and whether some have been passed on
        self.block: list[str] = []
        self.kind = ""
        self.seen: set[str] = set()
        self.empty = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            if self.is_shown:  # its first letters, so its end goes after them
                self._pass(f"{line}\n")
                self.is_shown = False
            else:
                self._take(line)
        may_start = any(start.startswith(self.begun) or self.begun.startswith(start) for start in RULES)
        if self.begun and (self.is_shown or not (self.kind or may_start)):  # a progress bar, say
            self._pass(self.begun)
            self.begun, self.is_shown = "", True
        return len(text)

    def end(self) -> None:
        """Writes the lines that were held back."""
        held, self.block, self.kind = self.block, [], ""
        for line in held:
            self._pass(f"{line}\n")
        self._pass(self.begun)
        self.begun = ""

    def _take(self, line: str) -> None:
        if not self.kind:
            self.kind = next((start for start in RULES if line.startswith(start)), "")
        if not self.kind:
            self.empty += not line
            if line:
                self._pass(f"{line}\n")
            return
        self.block.append(line)
        rule, count = RULES[self.kind]
        if sum(each.startswith(rule) for each in self.block) == count:
            self._show(self.block, self.kind)
            self.block, self.kind = [], ""

    def _show(self, block: list[str], kind: str) -> None:
        if kind == SUMMARY and not self.with_summary:
            self.empty = 0
            return
        text = "\n".join(block)
        if text in self.seen:
            self._pass(f"{block[0]}, as above\n")
        else:
            self._pass(f"{text}\n")
        self.seen.add(text)

    def _pass(self, text: str) -> None:
        """Writes text with the empty lines before it; empty lines around a removed summary are removed too."""
        if text:
            self.stream.write("\n" * self.empty + text)
            self.empty = 0
