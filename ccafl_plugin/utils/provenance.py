"""The code, versions and machine that computed a result."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torchreid

PACKAGE = Path(__file__).resolve().parent.parent


def digest_of(value: Any) -> str:
    """16 hexadecimal digits that identify a value made of dicts, lists, strings and numbers."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def code_digest() -> str:
    """Digest of the package's source code, without ``suites``, which only reads results."""
    sources = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "suites")
    return digest_of([[str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")] for path in sources])


def git_commit() -> str:
    """The commit of the checkout that the package is in, with ``+changes`` if files differ; empty if it is in none."""
    checkout = PACKAGE.parent
    if not (checkout / ".git").exists():  # a repository further out is somebody else's
        return ""
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(checkout), *words], capture_output=True, text=True, timeout=20, check=True
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + "+changes" * bool(changed)


def package_version() -> str:
    """Version of ``ccafl_plugin``, read from ``sys.modules``, since importing the package here would be circular."""
    return sys.modules[__name__.partition(".")[0]].__version__


def versions() -> dict[str, str]:
    """Versions of Python and of all packages that influence results."""
    found = {"python": platform.python_version(), "ccafl_plugin": package_version()}
    found |= {"torch": torch.__version__, "torchreid": torchreid.__version__}
    for package in ("torchvision", "open_clip_torch", "numpy", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def version_line() -> str:
    """The line that commands print for ``--version``."""
    return f"ccafl_plugin {package_version()} (torch {torch.__version__}, torchreid {torchreid.__version__})"


def machine(device: torch.device) -> dict[str, Any]:
    """Device, number of cores and number of threads of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"device": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()
