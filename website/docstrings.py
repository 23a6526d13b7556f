"""An extension of griffe: the roles of our docstrings become links of the site.

Editors and Sphinx know roles such as ``:func:`associate```; Markdown does not. A role that leads nowhere is a warning,
and warnings end the build.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import griffe

ROLE = re.compile(r":(func|class|meth|mod|data|attr|exc|obj):`(~?)([\w.]+)`")
TOGETHER = re.compile(r"^( +)(\*{0,2}\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)$", re.MULTILINE)
"""Arguments that a docstring explains together."""
LITERAL = re.compile(r"``(.+?)``")
BLOCK = re.compile(r"^(?P<lead>.*)::\n\n(?P<code>(?:(?: {4}.*)?\n?)+)", re.MULTILINE)
PAGE = re.compile(r"docs/(\w[\w-]*\.md)(?: \((\d+)\))?")
log = logging.getLogger("griffe.ccafl_plugin")


def is_shown(found: griffe.Object | griffe.Alias) -> bool:
    """Whether the reference has a place for it: a public module, or something with a docstring in one."""
    parts = found.path.split(".")
    return not any(part.startswith("_") for part in parts) and (found.is_module or bool(found.docstring))


def find(name: str, place: griffe.Object, package: griffe.Module) -> griffe.Object | None:
    """What a name in a docstring means: a member of the object, of what it is in, or of the package."""
    if name.startswith("."):
        module = place if place.is_module and place.is_init_module else place.module.parent
        return find(name[1:], module, package) if isinstance(module, griffe.Object) else None
    if name.partition(".")[0] == package.name:
        places: list[Any] = [package]
        name = name.partition(".")[2]
    else:
        places = [place]
        while places[-1].parent is not None:
            places.append(places[-1].parent)
    for around in places:
        try:
            found = around[name] if name else around
            return found.final_target if found.is_alias else found
        except (KeyError, griffe.AliasResolutionError):
            continue
    return None


def to_markdown(text: str, place: griffe.Object, package: griffe.Module) -> str:
    """A docstring with links for roles, for pages of the documentation, and for the modules that a package lists."""
    up = "../" * (place.module.path.count(".") + place.module.is_init_module)

    def role(found: re.Match[str]) -> str:
        target = find(found[3], place, package)
        shown = found[3].rpartition(".")[2] if found[2] else found[3].lstrip(".")
        if target is None and found[1] != "attr":  # torchreid's classes may have set it
            log.warning("%s: nothing is called %s", place.path, found[0])
        return f"[`{shown}`][{target.path}]" if target is not None and is_shown(target) else f"`{shown}`"

    def literal(found: re.Match[str]) -> str:
        member = place.members.get(found[1]) if place.is_module and place.is_init_module else None
        if member is not None and not member.is_alias and member.is_module:
            return f"[`{found[1]}`][{member.path}]"
        return found[0]

    def block(found: re.Match[str]) -> str:
        lead = "" if found["lead"].strip() == "Example" else found["lead"] + ":"
        return lead.strip(" ") + "\n\n" + "```python\n" + _dedent(found["code"]) + "```\n"

    def page(found: re.Match[str]) -> str:
        anchor = f"#equation-{found[2]}" if found[1] == "method.md" and found[2] else ""
        return f"[{found[0]}]({up}{found[1]}{anchor})"

    def together(found: re.Match[str]) -> str:
        return "\n".join(f"{found[1]}{name}: {found[3]}" for name in found[2].split(", "))

    text = TOGETHER.sub(together, BLOCK.sub(block, text))
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    for at in range(0, len(parts), 2):
        parts[at] = PAGE.sub(page, LITERAL.sub(literal, ROLE.sub(role, parts[at])))
    return "".join(parts)


def _dedent(code: str) -> str:
    return "".join(line[4:] for line in code.rstrip("\n").splitlines(keepends=True)) + "\n"


def objects(module: griffe.Object) -> Iterator[griffe.Object]:
    """A module and everything below it."""
    yield module
    for member in module.members.values():
        if isinstance(member, griffe.Object):
            yield from objects(member)


class Docstrings(griffe.Extension):
    """Works through a package as soon as it is read."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Changes all docstrings of ``pkg``. A method without one says of which class's method it is a version."""
        written = [found for found in objects(pkg) if found.docstring]
        for found in objects(pkg):
            if found.is_function and not found.docstring and isinstance(found.parent, griffe.Class):
                for base in found.parent.mro():
                    above = base.members.get(found.name)
                    if above is not None and above.docstring and base.path.startswith(pkg.name):
                        text = f"This class's version of [`{base.name}.{found.name}`][{above.path}]."
                        found.docstring = griffe.Docstring(text, parent=found)
                        break
        for found in written:
            if found.docstring is not None:
                found.docstring.value = to_markdown(found.docstring.value, found, pkg)
