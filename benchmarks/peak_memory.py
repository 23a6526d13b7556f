"""Measures the memory of this process, or of its GPU."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from ccafl_plugin.utils.peak_memory import peak_memory, status


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
    return peak_memory()
