"""The table of a suite. Data and versions are above it; missing runs and notes are below it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from ccafl_plugin.config import default_config
from ccafl_plugin.suites.columns import COLUMNS
from ccafl_plugin.suites.outcomes import Outcomes, Results
from ccafl_plugin.utils.errors import unknown_name

FEW_VERSIONS = 3
"""Versions of the code are listed if there are at most this many."""

OFF_PUBLISHED = "†"
"""Mark of rows whose runs differ from the published settings that their configuration claims."""

FORMATS = ("github", "latex", "simple", "csv")


def make_table(
    outcomes: Outcomes, form: str = "github", columns: Sequence[str] | None = None, brief: bool = False
) -> str:
    """The table as text.

    Args:
        outcomes: outcomes of a suite.
        form: ``github``, ``latex``, ``simple`` or ``csv``; csv has no lines above and below the table.
        columns: groups of columns; None: those of the suite.
        brief: leave out versions and machine above the table, and the rows' notes below it. Failed and missing runs
            and differences from the published settings are always listed.

    Raises:
        CCAFLError: an unknown form or group.
    """
    if form not in FORMATS:
        raise unknown_name("--format", form, FORMATS)
    chosen = tuple(columns or outcomes.suite.columns)
    for name in chosen:
        if name not in COLUMNS:
            raise unknown_name("--columns", name, COLUMNS)
    headers, rows = _cells(outcomes, chosen)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([headers, *rows])
        return text.getvalue()
    above, below = header_lines(outcomes, brief), footer_lines(outcomes, chosen, brief)
    align = ["left", *["right"] * (len(headers) - 1)]
    # "pipe" is github's format with aligned columns.
    style = "pipe" if form == "github" else form
    body = tabulate(rows, headers, tablefmt=style, disable_numparse=True, colalign=align if rows else None)
    if form == "latex":
        return "\n".join([*(f"% {line}" for line in above), body, *(f"% {line}" for line in below)]) + "\n"
    if form == "github":
        above[0] = f"**{above[0]}**\n"
        below = [f"- {line}" for line in below]
    return "\n\n".join(filter(None, ["\n".join(above), body, "\n".join(below)])) + "\n"


def _cells(outcomes: Outcomes, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows. Empty columns are left out, except those of the group ``scores``."""
    shown = outcomes.suite.shown
    wanted = len(outcomes.suite.seeds)
    left = _off_published(outcomes)
    table = [("", [f"{row.name} {OFF_PUBLISHED}" if row.name in left else row.name for row in shown])]
    if any(outcomes.seeds_of(row) != wanted for row in shown if not row.is_published):
        counts = ["" if row.is_published else f"{outcomes.seeds_of(row)} of {wanted}" for row in shown]
        table.append(("Seeds", counts))
    for name in columns:
        for header, cell in COLUMNS[name](outcomes):
            cells = [cell(row) for row in shown]
            if any(cells) or name == "scores":
                table.append((header, cells))
    return [header for header, _ in table], [list(row) for row in zip(*(cells for _, cells in table), strict=True)]


def header_lines(outcomes: Outcomes, brief: bool = False) -> list[str]:
    """Title, training set and, unless brief, versions and hardware; if runs differ, all values are listed."""
    suite = outcomes.suite
    found = list(outcomes.measured.values())
    lines = [suite.title]
    if not found:
        return [*lines, "Nothing measured yet."]
    seeds = f"Seeds {', '.join(map(str, suite.seeds))}; mean ± standard deviation" if len(suite.seeds) > 1 else (
        f"Seed {suite.seeds[0]}"
    )  # fmt: skip
    codes = list(dict.fromkeys(digest for content in found for digest in _codes(content)))
    measured = [
        f"{name} {_either(known)}"
        for name in ("ccafl_plugin", "torch", "torchreid", "python")
        if (known := [content["versions"][name] for content in found if name in content["versions"]])
    ]
    measured += [f"code {_either(codes)}"] if 0 < len(codes) <= FEW_VERSIONS else []
    what = [
        *lines,
        f"{seeds}; scores in % after the last epoch.",
        *_line("Training: {}.", _ranges(map(_training, found))),
        *_line("Test: {}.", map(_test, found)),
    ]
    if brief:
        return what
    return [
        *what,
        *([f"Measured with {', '.join(measured)}."] if measured else []),
        *_line(
            "On {}.",
            (
                "{device}, {cores} cores, {threads} threads per run".format(**content["machine"])
                for content in found
                if "machine" in content
            ),
        ),
    ]


def footer_lines(outcomes: Outcomes, columns: Sequence[str], brief: bool = False) -> list[str]:
    """Failed and missing runs, rows that differ from published settings or in the code version, and the rows' notes."""
    suite, lines = outcomes.suite, []
    lines += [f"FAILED: {name}: {reason}" for name, reason in outcomes.failures.items()]
    if outcomes.missing:
        lines.append(f"Not run yet: {'; '.join(outcomes.missing)}")
    lines += [f"{OFF_PUBLISHED} {name}: {difference}" for name, difference in _off_published(outcomes).items()]
    if not brief:
        lines += _versions_of_code(outcomes)
    if "difference" in columns:
        for above, row in zip([None, *suite.shown], suite.shown, strict=False):
            if row.compare not in ("", above.name if above else ""):
                lines.append(f"{row.name}: the difference is to {row.compare!r}.")
    if not brief:
        lines += [f"{row.name}: {row.note}" for row in suite.shown if row.note]
    if "published" in columns and any(row.published for row in suite.shown):
        lines.append(f"(published): not measured here; {suite.published_source or 'see the row'}.")
    return lines if brief else [*lines, *suite.notes]


def _codes(content: Results) -> list[str]:
    """Versions of the code that a run used, the last one first; a resumed run may have several."""
    digests = [content.get("code_digest", ""), *content.get("earlier_code", [])]
    return [digest for digest in digests if digest]


def _versions_of_code(outcomes: Outcomes) -> list[str]:
    """A line that lists runs measured with another code version than most; empty if all versions are equal."""
    runs_of: dict[str, list[tuple[str, int]]] = {}
    for (row, _, seed), content in outcomes.measured.items():
        for digest in _codes(content):
            runs_of.setdefault(digest, []).append((row, seed))
    if len(runs_of) < 2:
        return []
    if len(runs_of) > FEW_VERSIONS:
        return [f"Rows were measured with {len(runs_of)} different versions of the code."]
    usual = max(runs_of, key=lambda digest: len(runs_of[digest]))
    others = []
    for digest in runs_of.keys() - {usual}:
        seeds_of: dict[str, set[int]] = {}
        for row, seed in runs_of[digest]:
            seeds_of.setdefault(row, set()).add(seed)
        for seeds in sorted({tuple(sorted(seeds)) for seeds in seeds_of.values()}):
            rows = [row.name for row in outcomes.suite.shown if seeds_of.get(row.name, set()) == set(seeds)]
            named = " and ".join(map(repr, rows)) if len(rows) <= 2 else f"{len(rows)} rows"
            others.append(f"{digest} for seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} of {named}")
    return [f"Measured with code {usual}, but with {'; '.join(sorted(others))}."]


def _off_published(outcomes: Outcomes) -> dict[str, str]:
    """Row -> its differences from the published settings; rows without differences are left out."""
    found: dict[str, dict[str, list[str]]] = {}
    for (name, _, _), content in outcomes.measured.items():
        settings = content.get("effective_settings", {})
        if settings.get("differences"):
            found.setdefault(name, {}).setdefault(settings["published"], []).extend(settings["differences"])
    return {
        name: "; ".join(
            f"differs from the published settings ({source}): {', '.join(dict.fromkeys(differences))}"
            for source, differences in sources.items()
        )
        for name, sources in found.items()
    }


def _line(form: str, values: Iterable[str]) -> list[str]:
    """One line with all different values; no line if there is no value."""
    known = list(filter(None, values))
    return [form.format(_either(known))] if known else []


def _training(content: Results) -> str:
    if "training_set" not in content:
        return ""
    settings, data = content["settings"], content["training_set"]
    size = settings.get("ccafl.synthetic.size")
    of_size = {"synthetic_persons": f"synthetic_persons ({size})"} if size else {}
    name = " + ".join(of_size.get(source, source) for source in content["sources"])
    people = f" of {data['people']} people" if "people" in data else ""  # nobody knows where ids hold in a camera only
    defaults = default_config()
    iterations = settings.get("ccafl.iters_per_epoch", defaults.ccafl.iters_per_epoch)
    batch = settings.get("train.batch_size", defaults.train.batch_size)
    return (
        f"{name}, {data['images']} images{people} in {data['cameras']} cameras "
        f"({data['proxies']} proxies), {content['epochs']} epochs of {iterations} batches of {batch} images"
    )


def _test(content: Results) -> str:
    return ", ".join(
        f"{facts['queries']} queries and {facts['gallery']} gallery images of {facts['folder']}"
        for facts in content.get("test_sets", {}).values()
    )


def _ranges(texts: Iterable[str]) -> list[str]:
    """Merges texts that differ only in numbers; a number that differs becomes ``SMALLEST to LARGEST``."""
    number = re.compile(r"(?<=[ (])\d+(?= )")  # matches no number inside a dataset's name
    alike: dict[str, list[list[int]]] = {}
    for text in texts:
        alike.setdefault(number.sub("#", text), []).append([int(found) for found in number.findall(text)])
    merged = []
    for text, numbers in alike.items():
        for column in zip(*numbers, strict=True):
            smallest, largest = min(column), max(column)
            text = text.replace("#", f"{smallest} to {largest}" if smallest < largest else f"{smallest}", 1)
        merged.append(text)
    return merged


def _either(values: Iterable[Any]) -> str:
    return " or ".join(dict.fromkeys(str(value) for value in values))
