"""The machine and versions with which a table was measured."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "torchreid", "open_clip_torch", "ccafl_plugin")


def describe(threads: int, device: str) -> dict[str, Any]:
    """Machine, threads, wait policy, load and versions."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": processor(),
        "cores": os.cpu_count(),
        "memory GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "threads": threads,
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
        "load before": round(os.getloadavg()[0], 2),
        "GPU": gpu() if device == "cuda" else "none",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def gpu() -> str:
    """The GPU's name, without a context on it if its driver's command is there: that takes seconds and memory."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        named = subprocess.run(command, capture_output=True, check=True, text=True, timeout=20).stdout.splitlines()
        if named:
            return named[0].strip()
    import torch

    return torch.cuda.get_device_name()


def processor() -> str:
    """The processor's name, if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def version(package: str) -> str:
    """The installed version; for a checkout that is not installed, the version in its source."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        import importlib

        return getattr(importlib.import_module(package), "__version__", "unknown")
