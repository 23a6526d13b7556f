"""Memory that a CPU run frees stays with the process, ready for the next iteration."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names and numbers of <malloc.h>
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""Bytes; glibc refuses more."""
NEVER_TRIM = 2**31 - 1
"""Bytes, the largest number that ``mallopt`` takes."""


def keep_freed_memory() -> bool:
    """Asks glibc not to give freed memory back to the system between iterations.

    By default it does, and every iteration pays again for each page of its activations. The process stays as large as
    it was at its largest. Numbers don't change.

    Returns:
        False where there is no glibc, which leaves everything as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows, macOS, musl
        return False
    accepted = [mallopt(_M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD), mallopt(_M_TRIM_THRESHOLD, NEVER_TRIM)]
    return all(accepted)
