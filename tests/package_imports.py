"""Who imports whom in the package, read from its sources: imports in functions and below TYPE_CHECKING count, too.

``python -m tests.package_imports`` prints the folders for docs/architecture.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import ccafl_plugin

PACKAGE = Path(ccafl_plugin.__file__).resolve().parent
NAME = PACKAGE.name
Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module of the package by its full name; a folder's ``__init__`` has the folder's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = (NAME, *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, source: str, is_package: bool, known: Mapping[str, object]) -> Iterator[str]:
    """The modules among ``known`` that a module imports, itself left out."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            targets = [f"{origin}.{alias.name}" for alias in node.names]
            targets = [target if target in known else origin for target in targets]
        yield from (target for target in targets if target in known and target != name)


def module_graph() -> Graph:
    """Module -> modules that it imports."""
    known = modules()
    return {
        name: set(imported(name, path.read_text(encoding="utf-8"), path.name == "__init__.py", known))
        for name, path in known.items()
    }


def folder_of(module: str) -> str:
    """The folder, or the file, directly below the package; the package itself for its ``__init__``."""
    return [*module.split("."), NAME][1]


def folder_graph(graph: Graph) -> Graph:
    """Folder -> folders that it imports."""
    folders: Graph = {folder_of(module): set() for module in graph}
    for module, targets in graph.items():
        folders[folder_of(module)] |= {folder_of(target) for target in targets} - {folder_of(module)}
    return folders


def circle(graph: Graph) -> list[str]:
    """A circle of imports, its first name once more at the end; empty if there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if found := visit(target, [*path, name]):
                return found
        done.add(name)
        return []

    for name in sorted(graph):
        if found := visit(name, []):
            return found
    return []


def picture(graph: Graph) -> str:
    """The folders, each above all that it imports, one a line."""
    folders = folder_graph(graph)
    lines: list[str] = []
    if found := circle(folders):
        raise ValueError(f"a circle of imports: {' -> '.join(found)}")
    while folders:
        top = min(name for name in folders if not any(name in targets for targets in folders.values()))
        targets = folders.pop(top)
        lines.append(f"{top:<13} -> {', '.join(sorted(targets))}" if targets else top)
    return "\n".join(lines)


if __name__ == "__main__":
    print(picture(module_graph()))
