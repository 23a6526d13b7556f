from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from ccafl_plugin.utils import allocator
from ccafl_plugin.utils.allocator import keep_freed_memory

PROGRAM = """
import resource, runpy, sys
import numpy as np
keep_freed_memory = runpy.run_path(sys.argv[2])["keep_freed_memory"]  # without the package, and so without torch

assert sys.argv[1] == "default" or keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def iteration():
    blocks = [np.empty(20 * 2**20, np.uint8) for _ in range(2)]
    for block in blocks:
        block.fill(1)

for _ in range(2):
    iteration()
before = faults()
for _ in range(5):
    iteration()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own behaviour")
def test_pages_are_paid_for_once():
    found = {
        way: int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, way, allocator.__file__], check=True, capture_output=True, text=True
            ).stdout
        )
        for way in ("default", "kept")
    }
    assert found["default"] > 5 * 20 * 2**20 / 65536  # at least one block an iteration, in pages of up to 64 kB
    assert found["kept"] < found["default"] / 20


@pytest.mark.parametrize("library", [OSError, TypeError, object])
def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch, library: type) -> None:
    def load(name: None) -> object:
        if issubclass(library, Exception):
            raise library
        return library()

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not keep_freed_memory()
