"""Runs a function in a forked child: a process of its own without the seconds that importing torch takes."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Callable


def in_child(function: Callable[[], None]) -> None:
    """Calls ``function`` in a forked child.

    Raises:
        AssertionError: the function raised; the message is the child's traceback.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            function()
            code = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(code)  # no clean-up handlers of the parent, pytest's among them
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        report = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise AssertionError(report or f"the child ended with status {status}")


def memory_growth(function: Callable[[], object]) -> float:
    """Megabytes by which the process's peak memory grows while ``function`` runs; to be called in a child."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    function()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


def forget(*packages: str) -> None:
    """Removes packages and their submodules from ``sys.modules``, so that the next import is a first one."""
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            del sys.modules[name]
