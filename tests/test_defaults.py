"""A default has one home: a number that several signatures share is a constant that they read."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import ccafl_plugin

PACKAGE = Path(ccafl_plugin.__file__).parent
EVERYDAY = (-1, 0, 1)
"""Neutral values: no weight, no decay, to the end."""


def defaults(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, default) of every argument of a function and of every field of a class."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = node.args
            places = [*given.posonlyargs, *given.args]
            yield from zip([a.arg for a in places[len(places) - len(given.defaults) :]], given.defaults, strict=True)
            for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
                if default is not None:
                    yield argument.arg, default
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and line.value is not None and isinstance(line.target, ast.Name):
                    yield line.target.id, line.value


def literal_number(node: ast.expr) -> object:
    """The value of a number, or of a tuple of numbers, that is written out; None for anything else."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    numbers = value if isinstance(value, tuple) else (value,)
    is_number = all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
    return value if is_number and numbers else None


def repeated(sources: dict[str, str]) -> dict[tuple[str, object], list[str]]:
    """(argument, number) -> the files that write it out, if they do so more than once."""
    places: dict[tuple[str, object], list[str]] = defaultdict(list)
    for name, source in sources.items():
        for argument, default in defaults(ast.parse(source)):
            value = literal_number(default)
            if value is not None and value not in EVERYDAY:
                places[argument, value].append(name)
    return {key: found for key, found in places.items() if len(found) > 1}


def test_no_number_is_the_default_of_an_argument_twice() -> None:
    files = {str(file.relative_to(PACKAGE)): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}
    apart = {name for name in files if name.startswith("synthetic")}  # knows nothing of the method, nor it of that
    of_the_method = {name: text for name, text in files.items() if name not in apart}
    assert not repeated(of_the_method)
    assert not repeated({name: files[name] for name in apart})


def test_the_check_sees_functions_classes_and_tuples() -> None:
    code = "def f(a, margin=0.3, *, size=(2, 1)): ...\nclass C:\n    margin: float = 0.3\n    size: tuple = (2, 1)\n"
    assert set(repeated({"x.py": code})) == {("margin", 0.3), ("size", (2, 1))}
    assert not repeated({"x.py": "def f(margin=0.3, weight=1.0): ...\ndef g(margin=MARGIN, weight=1.0): ..."})
