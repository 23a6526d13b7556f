"""torchreid's two distributions: the same code below ``torchreid.reid`` (PyPI) or below ``torchreid`` (upstream).

Upstream's layout is made from the installed PyPI package; the two differ in their imports only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ccafl_plugin.integration import torchreid_package

REPOSITORY = Path(__file__).resolve().parent.parent


def make_upstream_layout(folder: Path) -> Path:
    """Writes ``folder/torchreid`` in upstream's layout, version 1.4.0; gives the folder for ``PYTHONPATH``."""
    package = torchreid_package()
    target = folder / "torchreid"
    shutil.copytree(Path(package.__file__).parent, target, ignore=shutil.ignore_patterns("__pycache__"))
    for source in target.rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        if "torchreid.reid" in text:
            source.write_text(text.replace("torchreid.reid", "torchreid"), encoding="utf-8")
    return folder


def environment(first_on_path: Path | None = None) -> dict[str, str]:
    """Environment of a child process that imports this checkout, and torchreid from ``first_on_path`` if given."""
    path = [str(folder) for folder in (first_on_path, REPOSITORY) if folder is not None]
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*path, *([inherited] if inherited else [])])}


def python(*arguments: str, first_on_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs ``python ARGUMENTS`` from the root folder of the checkout and captures what it prints."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(first_on_path),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
