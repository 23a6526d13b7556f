"""The pages that people write, as the site has them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
HOME = "https://github.com/ccafl-plugin/ccafl_plugin"
FILES = f"{HOME}/blob/main/"
BESIDE = {"CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the checkout's own folder -> their names in the site."""
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def sources() -> dict[str, Path]:
    """Name of a page in the site -> its file."""
    pages = {page.name: page for page in sorted((ROOT / "docs").glob("*.md"))}
    return {**pages, **{name: ROOT / file for file, name in BESIDE.items()}}


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """A page whose parts outside code are changed."""
    return "".join(part if at % 2 else change(part) for at, part in enumerate(CODE.split(text)))


def link_in_site(address: str, folder: str) -> str:
    """Where a link leads in the site.

    Files of the checkout that are no pages of the site are shown by GitHub. Links with a host stay, but for those to
    our own pages.

    Args:
        address: as it stands on the page.
        folder: the page's folder in the checkout: ``docs``, or empty.
    """
    target, hash_, anchor = address.partition("#")
    if target.startswith(FILES):
        target = target.removeprefix(FILES)
    elif "://" in target or not target or target.startswith("mailto:"):
        return address
    else:
        target = posixpath.normpath(posixpath.join(folder, target))
    path = PurePosixPath(target)
    if target in BESIDE:
        target = BESIDE[target]
    elif path.parts[0] == "docs" and path.suffix != ".json" and (ROOT / path).is_file():
        target = str(path.relative_to("docs"))
    else:
        target = FILES + target
    return target + hash_ + anchor


def in_site(text: str, folder: str) -> str:
    """A page with links as the site has them; ``folder`` as for :func:`link_in_site`."""
    return outside_code(text, lambda part: LINK.sub(lambda f: f[1] + link_in_site(f[2], folder) + f[3], part))
