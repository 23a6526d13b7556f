"""The largest memory that this process has used."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def status(entry: str) -> int:
    """Bytes of a Linux status entry of this process, e.g. ``VmHWM``.

    Raises:
        OSError: the system has no such file.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))


def peak_memory() -> int:
    """Bytes of the host's memory, without those of data workers."""
    try:
        return status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
