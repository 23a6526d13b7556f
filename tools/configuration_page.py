"""Creates docs/configuration.md, the page of all keys, from the tree of keys, docstrings and checks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ccafl_plugin.config.reference import page
from ccafl_plugin.utils.files import written_line

FILE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"


def main(arguments: list[str] | None = None) -> int:
    """Prints the page, or writes it."""
    parser = argparse.ArgumentParser(prog="python tools/configuration_page.py", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/configuration.md")
    if parser.parse_args(arguments).write:
        FILE.write_text(page(), encoding="utf-8")
        print(written_line(FILE.parent, [FILE.name]))
    else:
        print(page(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
