"""Keeps memory that a CPU run frees in the process, for the next iteration."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names and numbers of <malloc.h>
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""Bytes; glibc refuses more."""
NEVER_TRIM = 2**31 - 1
"""Bytes, the largest number that ``mallopt`` takes."""


def keep_freed_memory() -> bool:
    """Tells glibc not to return freed memory to the system between iterations.

    By default glibc returns it, and every iteration must request all pages of its activations again. With this setting
    the process keeps its largest size. Results do not change.

    Returns:
        False if there is no glibc; then nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows, macOS, musl
        return False
    accepted = [mallopt(_M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD), mallopt(_M_TRIM_THRESHOLD, NEVER_TRIM)]
    return all(accepted)
