"""Puts the site together and builds it; every warning is an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from website.formulas import with_mathml
from website.pages import ROOT, in_site, sources
from website.reference import FOLDER, file_of, modules, navigation, page_of, read_package, with_references

SETTINGS = ROOT / "mkdocs.yml"
COPIED = ("figures", "synthetic_persons.jpg", "stylesheets")
"""Of docs/, beside its pages."""


class Unclean(Exception):
    """The site can be built, but something in it is wrong."""


def prepare(folder: Path) -> Path:
    """Writes all pages and the settings of the site.

    Args:
        folder: a folder of its own; what was in it is gone.

    Returns:
        The file of settings.

    Raises:
        Unclean: a docstring is wrong.
        ValueError: a formula that the site can't show.
    """
    package, wrong = read_package()
    if wrong:
        raise Unclean("\n".join(wrong))
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    pages.mkdir(parents=True)
    for name, file in sources().items():
        inside = str(file.parent.relative_to(ROOT)).strip(".")
        text = with_references(in_site(file.read_text(encoding="utf-8"), inside), package)
        (pages / name).write_text(with_mathml(text), encoding="utf-8")
    for name in COPIED:
        source = ROOT / "docs" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, pages / name)
    for module in modules(package):
        file = pages / file_of(module)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page_of(module), encoding="utf-8")
    settings: dict[str, Any] = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    for part in settings["nav"]:
        for title, entry in part.items():
            if entry == f"{FOLDER}/index.md":
                part[title] = navigation(package)
    python = next(p["mkdocstrings"] for p in settings["plugins"] if "mkdocstrings" in p)["handlers"]["python"]
    python["paths"] = [str(ROOT)]
    python["options"]["extensions"] = [f"{ROOT / 'website' / 'docstrings.py'}:Docstrings"]
    file = folder / "mkdocs.yml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def build(folder: Path) -> Path:
    """Builds the site; gives the folder of its HTML.

    Raises:
        Unclean: zensical warns of a link, an anchor or a name that leads nowhere, or of anything else.
    """
    settings = prepare(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(settings)]
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    printed = re.sub(r"\x1b\[[\d;]*m", "", run.stdout + run.stderr)
    if run.returncode or re.search(r"warning|error", printed, re.IGNORECASE):
        raise Unclean(printed.partition("Traceback")[0].strip())
    return folder / "html"
