"""Pages of the API reference: one for each public module, one for each folder of the package."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import griffe

from website.docstrings import Docstrings, find, is_shown, objects
from website.pages import FILES, ROOT

PACKAGE = "ccafl_plugin"
FOLDER = "api"
MOST_USED = (
    "options.options",
    "engine.ImageCCAFLEngine",
    "engine.PromptStage",
    "features.FeatureExtractor",
    "features.feature_set.FeatureSet",
    "association.associate",
    "data.ProxyLabels",
    "losses.ICDLLoss",
    "losses.ICALLoss",
    "terms.Term",
    "metrics.evaluate_rank",
    "metrics.rerank_features",
    "config.load_config",
    "utils.errors.CCAFLError",
)
"""What programs import, for the first page."""
NAME = re.compile(rf"(?<!\[)`({PACKAGE}(?:\.\w+)+)`(?!\])")
"""A name of the package on a page, which is no link yet."""


class Warnings(logging.Handler):
    """Keeps what griffe warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one."""
        self.texts.append(record.getMessage())


def read_package() -> tuple[griffe.Module, list[str]]:
    """The package as griffe reads it without importing it, and what is wrong with its docstrings.

    A docstring is wrong if it names an argument that there is not, or if a role in it leads nowhere.
    """
    warnings = Warnings()
    logger = logging.getLogger("griffe")
    logger.addHandler(warnings)
    try:
        package = griffe.load(PACKAGE, search_paths=[ROOT], extensions=griffe.load_extensions(Docstrings))
        assert isinstance(package, griffe.Module)
        for found in objects(package):
            if found.docstring:
                found.docstring.parse("google", warn_missing_types=False)
    finally:
        logger.removeHandler(warnings)
    return package, warnings.texts


def modules(package: griffe.Module) -> Iterator[griffe.Module]:
    """The public modules, a folder before what is in it."""
    yield package
    for name in sorted(package.members):
        member = package.members[name]
        if isinstance(member, griffe.Module) and not name.startswith("_"):
            yield from modules(member)


def file_of(module: griffe.Module) -> str:
    """Where a module's page is, below the site's pages."""
    parts = module.path.split(".")[1:]
    return "/".join([FOLDER, *parts, "index.md"] if module.is_init_module else [FOLDER, *parts]) + (
        "" if module.is_init_module else ".md"
    )


def first_line(found: griffe.Object, page: griffe.Module) -> str:
    """The first paragraph of a docstring, with its links as they are from a folder's page."""
    text = found.docstring.value.strip().partition("\n\n")[0] if found.docstring else ""
    up = "../" * (page.path.count(".") + 1)
    return re.sub(r"\]\((?:\.\./)+", f"]({up}", " ".join(text.split())).replace("|", "\\|")


def offered_by(module: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """The names in a folder's ``__all__``, and what they are; a name may also be that of a module beside it."""
    for name in sorted(map(str, module.exports or []), key=str.lower):
        path = module.imports.get(name, f"{module.path}.{name}").partition(".")[2]
        found = module.package[path]
        if not name.startswith("_"):
            yield name, found.final_target if found.is_alias else found


def _target(found: griffe.Object | griffe.Alias) -> griffe.Object:
    target = found.final_target if isinstance(found, griffe.Alias) else found
    assert isinstance(target, griffe.Object)
    return target


def row(name: str, found: griffe.Object, page: griffe.Module) -> str:
    """A row of a table of contents on a folder's page."""
    shown = f"[`{name}`][{found.path}]" if found.docstring else f"`{name}`"
    return f"| {shown} | {first_line(found, page)} |"


def page_of(module: griffe.Module) -> str:
    """A module's page; a folder's has a table of what it offers, and one of its modules."""
    lines = [f"::: {module.path}", "    options:", "      heading_level: 1", "      show_root_heading: true"]
    if not module.is_init_module:
        source = f"{FILES}{Path(str(module.filepath)).relative_to(ROOT)}"
        return "\n".join([*lines, "", f"Source: [{module.path}]({source})", ""])
    lines += ["      members: false", ""]
    if module.path == PACKAGE:
        lines += ["## Where programs begin", "", "| name | |", "|---|---|"]
        lines += [*(row(f"{PACKAGE}.{name}", _target(module[name]), module) for name in MOST_USED), ""]
    offered = list(offered_by(module))
    if offered:
        lines += [f"## What `from {module.path} import` offers", "", "| name | |", "|---|---|"]
        lines += [*(row(name, found, module) for name, found in offered), ""]
    inside = [m for n, m in sorted(module.members.items()) if isinstance(m, griffe.Module) and not n.startswith("_")]
    if inside:
        lines += [
            "## Modules",
            "",
            "| module | |",
            "|---|---|",
            *(row(found.name, found, module) for found in inside),
            "",
        ]
    return "\n".join(lines)


def with_references(text: str, package: griffe.Module) -> str:
    """A page on which names such as ``ccafl_plugin.losses.ical.ICALLoss`` lead to the reference, if they are in it."""

    def linked(name: re.Match[str]) -> str:
        found = find(name[1], package, package)
        return f"[{name[0]}][{found.path}]" if found is not None and is_shown(found) else name[0]

    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if at % 2 else NAME.sub(linked, part) for at, part in enumerate(parts))


def navigation(module: griffe.Module) -> list[str | dict[str, object]]:
    """The part of the navigation for a folder of the package."""
    found: list[str | dict[str, object]] = [file_of(module)]
    for name in sorted(module.members):
        member = module.members[name]
        if isinstance(member, griffe.Module) and not name.startswith("_"):
            found.append({name: navigation(member) if member.is_init_module else file_of(member)})
    return found
