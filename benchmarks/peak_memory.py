"""Measures the memory of this process, or of its GPU."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch


def resident() -> int:
    """Bytes of memory currently in use."""
    try:
        return status("VmRSS")
    except OSError:
        return peak("cpu")


def start_counting(device: str) -> None:
    """Resets the peak, if the system supports it."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # the peak then includes what preparing needed
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: str) -> int:
    """Largest number of bytes in use since :func:`start_counting`, including the input."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        return status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def status(entry: str) -> int:
    """Bytes of a Linux status entry of this process, e.g. ``VmHWM``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))
