"""``python -m website [FOLDER]``: builds the documentation site."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from website.pages import ROOT


def main(arguments: list[str] | None = None) -> int:
    """Builds the site; 1: something in it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m website", description="Builds the documentation site.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    folder = parser.parse_args(arguments).folder.resolve()
    try:
        from website.build import Unclean, build
    except ModuleNotFoundError as error:
        print(f'python -m website: {error.name} is missing. pip install -e ".[docs]", with Python 3.11 or newer.')
        return 2
    started = time.monotonic()
    try:
        html = build(folder)
    except (Unclean, ValueError) as error:
        print(f"python -m website: the site has faults:\n{error}", file=sys.stderr)
        return 1
    pages = list(html.rglob("*.html"))
    print(f"{len(pages)} pages in {time.monotonic() - started:.0f} s. Written to {html}: index.html and the rest")
    return 0


if __name__ == "__main__":
    sys.exit(main())
