"""Runs a function in several forked processes that share a gloo group over a file."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip  # noqa: F401  models are made of it; imported here once, not in every child
import torch


class Ranks:
    """Forked processes that have been started; none of them outlives :meth:`end`.

    Args:
        world: number of processes.
        function: called in each with its rank; what it returns is sent back.
        folder: where the group's file and each process's output are written.
        patch: called in each before the group exists.
    """

    def __init__(self, world: int, function: Callable[[int], Any], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.world = folder, world
        self.codes: list[int | None] = [None] * world
        self.reports: list[bytes] = [b""] * world
        sys.stdout.flush()
        sys.stderr.flush()
        self.children: list[tuple[int, int]] = []
        for rank in range(world):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reader)
                os.setpgid(0, 0)
                self._be(rank, writer, function)
            os.close(writer)
            self.children.append((child, reader))

    def _be(self, rank: int, writer: int, function: Callable[[int], Any]) -> None:
        code = 1
        try:
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
            with open(self.folder / f"out-{rank}.txt", "w", encoding="utf-8", buffering=1) as stream:
                os.dup2(stream.fileno(), 2)
                sys.stdout = sys.stderr = stream
                store = torch.distributed.FileStore(str(self.folder / "group"), self.world)
                torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=self.world)
                try:
                    result = ("result", function(rank))
                    code = 0
                except SystemExit as end:
                    code, result = int(end.code or 0), ("result", None)
                except BaseException:
                    result = ("error", traceback.format_exc())
                    stream.write(result[1])
                with os.fdopen(writer, "wb") as pipe:
                    pickle.dump(result, pipe)
        finally:
            os._exit(code)

    def output(self, rank: int) -> str:
        """What a process has printed, on both outputs."""
        return (self.folder / f"out-{rank}.txt").read_text(encoding="utf-8")

    def end(self, seconds: float = 200) -> float:
        """Waits until all have ended, and ends those that have not after ``seconds``; returns the seconds."""
        started = time.monotonic()
        open_pipes = {reader: rank for rank, (_, reader) in enumerate(self.children)}
        try:
            while open_pipes:
                left = seconds - (time.monotonic() - started)
                ready = select.select(list(open_pipes), [], [], max(left, 0))[0]
                if not ready:
                    late = sorted(open_pipes.values())
                    raise AssertionError(f"ranks {late} still run after {seconds} s: {[self.output(r) for r in late]}")
                for reader in ready:
                    data = os.read(reader, 1 << 20)
                    self.reports[open_pipes[reader]] += data
                    if not data:
                        del open_pipes[reader]
        finally:
            for rank, (child, reader) in enumerate(self.children):
                if open_pipes.get(reader) is not None:
                    os.killpg(child, signal.SIGKILL)
                os.close(reader)
                self.codes[rank] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return time.monotonic() - started

    def results(self, seconds: float = 200) -> list[Any]:
        """What each returned.

        Raises:
            AssertionError: one of them raised.
        """
        self.end(seconds)
        found = []
        for rank, report in enumerate(self.reports):
            kind, value = pickle.loads(report) if report else ("error", f"rank {rank} ended: {self.codes[rank]}")
            assert kind == "result", f"rank {rank}: {value}\n" + "\n".join(map(self.output, range(self.world)))
            found.append(value)
        return found


def in_ranks(world: int, function: Callable[[int], Any], folder: Path, seconds: float = 200) -> list[Any]:
    """Calls ``function`` in so many processes and returns what each returned."""
    return Ranks(world, function, folder).results(seconds)
