"""Writes the list of all error messages into docs/troubleshooting.md, from the code that raises them."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from ccafl_plugin.suites.generated_pages import Document, update
from ccafl_plugin.utils.files import written_line

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ccafl_plugin"
FILE = ROOT / "docs" / "troubleshooting.md"
COMMAND = "python tools/troubleshooting_page.py --write"
ERRORS = ("CCAFLError", "WrongArgument", "BadFile", "IncompatibleTorchreid")
"""What is raised for something that a user can mend."""
GAP = "…"
"""Stands for what a message fills in."""

AREAS = {
    "config": "Settings",
    "own_settings": "Settings",
    "options": "Settings",
    "data": "Data",
    "models": "Models and weights",
    "engine": "Training and checkpoints",
    "terms": "Training and checkpoints",
    "losses": "Losses and samplers in your own program",
    "optim": "Training and checkpoints",
    "association": "Association",
    "exporting": "Features, search, identities and export",
    "features": "Features, search, identities and export",
    "metrics": "Tests",
    "runs": "Commands",
    "report": "Commands",
    "suites": "Suites",
    "integration": "Inside torchreid",
    "synthetic": "Rendered people",
    "utils": "Files and arguments",
}
"""Heading by folder or module of the package."""


def template(node: ast.expr) -> str:
    """The text of a message, with :data:`GAP` for everything that is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return GAP


def messages_of(tree: ast.AST) -> Iterator[str]:
    """Templates of all errors that a module creates, in its order; none for those whose text another one makes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        text = template(node.args[0])
        if name == "unknown_name":
            yield f"{text}: {GAP} is not available. Choose one of: {GAP}."
        elif name in ERRORS and len(text.replace(GAP, "").strip(" :.")) > 8:
            yield text


def by_area() -> dict[str, list[str]]:
    """Heading -> the messages below it, each once, sorted."""
    found: dict[str, set[str]] = {heading: set() for heading in AREAS.values()}
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        texts = messages_of(ast.parse(file.read_text(encoding="utf-8")))
        for text in texts:
            found[AREAS[place]].add(" ".join(text.replace("{{", "{").split()))
    return {heading: sorted(texts) for heading, texts in found.items() if texts}


def listing(_: Path | None = None) -> str:
    """The list as Markdown."""
    lines = []
    for heading, texts in by_area().items():
        lines += [f"### {heading}", "", *(f"- `{text.replace('`', chr(39))}`" for text in texts), ""]
    return "\n".join(lines).strip()


def main(arguments: list[str] | None = None) -> int:
    """Prints the list, or writes it into the page."""
    parser = argparse.ArgumentParser(prog="python tools/troubleshooting_page.py", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/troubleshooting.md")
    if parser.parse_args(arguments).write:
        update(Document(FILE, "messages", COMMAND, listing), ROOT)
        print(written_line(FILE.parent, [FILE.name]))
    else:
        print(listing())
    return 0


if __name__ == "__main__":
    sys.exit(main())
