"""What a number was computed with: code, versions, machine."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torchreid

PACKAGE = Path(__file__).resolve().parent.parent


def digest_of(value: Any) -> str:
    """16 hexadecimal digits that name a value made of dicts, lists, words and numbers."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def code_digest() -> str:
    """Names the package's source code; what only reads results is left out."""
    sources = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "suites")
    return digest_of([[str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")] for path in sources])


def package_version() -> str:
    """Of ``ccafl_plugin``, which Python has imported before this module; importing it here would be a circle."""
    return sys.modules[__name__.partition(".")[0]].__version__


def versions() -> dict[str, str]:
    """Of Python and of everything that has a part in the numbers."""
    found = {"python": platform.python_version(), "ccafl_plugin": package_version()}
    found |= {"torch": torch.__version__, "torchreid": torchreid.__version__}
    for package in ("torchvision", "open_clip_torch", "numpy", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def version_line() -> str:
    """What commands print for ``--version``."""
    return f"ccafl_plugin {package_version()} (torch {torch.__version__}, torchreid {torchreid.__version__})"


def machine(device: torch.device) -> dict[str, Any]:
    """What a run was computed on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"device": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()
