"""Runs the missing runs of a plan, several processes at once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import yaml

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.runs import results
from ccafl_plugin.runs.endings import NO_WRITING
from ccafl_plugin.suites.processes import Process, launch
from ccafl_plugin.suites.results_file import ResultsFile
from ccafl_plugin.suites.run_folder import (
    LOG_FILE,
    SETTINGS_FILE,
    checkpoint_of,
    epochs_done,
    has_checkpoint,
    is_finished,
    move_aside,
    note,
)
from ccafl_plugin.suites.run_plan import Plan, Run, as_word
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.trees import nested


class Launcher(Protocol):
    """Starts ``ccafl-train`` with arguments; its output is appended to a file."""

    def __call__(self, arguments: Sequence[str], log: Path, threads: int) -> Process: ...


class Runner:
    """Runs a plan.

    A finished run is not repeated, and an interrupted run continues from its newest checkpoint. A failed run does not
    stop the others. A folder of other settings is renamed, never removed. A run whose results are in the file of
    results is finished, even without a folder.

    Args:
        plan: the runs.
        jobs: number of processes at once; each uses an equal share of the cores.
        file: results of finished runs are also written to this file.
        start: function that starts a process.
        report: function that gets lines about the progress; None: they go to standard error.
        pause: seconds between two checks of the processes.
    """

    def __init__(
        self,
        plan: Plan,
        jobs: int = 1,
        file: ResultsFile | None = None,
        start: Launcher = launch,
        report: Callable[[str], None] | None = None,
        pause: float = 0.5,
    ) -> None:
        if jobs < 1:
            raise CCAFLError(f"--jobs: {jobs} is not a number of processes. Use at least 1.")
        self.plan = plan
        self.jobs = jobs
        self.file = file
        self.start = start
        self.report = report or (lambda line: print(line, file=sys.stderr, flush=True))
        self.pause = pause
        self.failures: dict[str, str] = {}
        self._running: dict[str, tuple[Run, Process, float]] = {}

    def run(self) -> dict[str, str]:
        """Runs until no run is left that can start.

        Returns:
            Name of each failed run -> its last line.

        Raises:
            KeyboardInterrupt: after Ctrl-C, when all processes have ended; they can continue later.
            CCAFLError: the folder of the runs cannot be written any more; all processes have ended.
        """
        for run in self.plan.runs:
            if is_finished(run):
                self._keep(run)
        waiting = [run for run in self.plan.runs if not self._is_finished(run)]
        self.total = len(self.plan.runs)
        done = self.total - len(waiting)
        if done:
            self.report(f"{done} of {self.total} runs are already finished")
        for run in waiting:
            move_aside(run, self.report)
        self._epochs_at_start = {run.digest: epochs_done(run) for run in waiting}
        self._started = self._last_report = time.monotonic()
        self._session = list(waiting)
        try:
            while waiting or self._running:
                self._reap()
                while len(self._running) < self.jobs and (next_run := self._next(waiting)) is not None:
                    waiting.remove(next_run)
                    self._launch(next_run)
                self._report_now_and_then()
                if self._running:
                    time.sleep(self.pause)
        finally:
            for _, process, _ in self._running.values():
                process.stop()
            for _, process, _ in self._running.values():
                process.wait()
        return dict(self.failures)

    def _is_finished(self, run: Run) -> bool:
        return is_finished(run) or (self.file is not None and self.file.find(run) is not None)

    def _keep(self, run: Run) -> None:
        """Writes the results of a finished run to the file of results, unless the file has them."""
        if self.file is None or self.file.find(run) is not None:
            return
        try:
            self.file.add(run, results.read(run.folder) or {})
        except (OSError, CCAFLError) as error:
            reason = " ".join(str(error).split())
            self.failures[run.name] = f"finished, but could not write its results to {self.file.file}: {reason}"
            self.report(f"{run.name}: {self.failures[run.name]}")

    def _next(self, waiting: Sequence[Run]) -> Run | None:
        """The next run to start.

        It is the first run that can start. If fewer runs than jobs can start that no other run waits for, it is the
        first run that others wait for. So no job is idle because a trunk was left to the end.
        """
        ready = [run for run in waiting if self._is_ready(run)]
        if sum(not run.kept_epochs for run in ready) < self.jobs:
            ready.sort(key=lambda run: not run.kept_epochs)
        return ready[0] if ready else None

    def _is_ready(self, run: Run) -> bool:
        """False while the run's source may still write the checkpoint that the run needs."""
        source = run.source
        if source is None or has_checkpoint(source, run.branch_epoch):
            return True
        return source.name in self.failures or self._is_finished(source)

    def _launch(self, run: Run) -> None:
        source = run.source
        pairs = ["data.save_dir", as_word(str(run.folder)), "ccafl.keep", "1"]
        if run.kept_epochs:
            pairs += ["ccafl.keep_epochs", as_word(sorted(run.kept_epochs))]
        how = ""
        if checkpoints.manifests(run.folder):
            pairs += ["model.resume", as_word(str(run.folder))]
            how = f", continuing after epoch {epochs_done(run)}"
        elif source is not None:
            if has_checkpoint(source, run.branch_epoch):
                pairs += ["ccafl.branch_from", as_word(str(checkpoint_of(source, run.branch_epoch)))]
                how = f", from epoch {run.branch_epoch} of {source.row!r}"
            elif source.name in self.failures:
                self._fail(run, f"not run, because it continues from {source.name!r}, which failed")
                return
            else:
                how = f", from its first epoch: {source.row!r} has no checkpoint of epoch {run.branch_epoch}"
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            note(run)
            tree = results.settings_of(run.config) | {"data.root": run.config.data.root}
            (run.folder / SETTINGS_FILE).write_text(yaml.safe_dump(nested(tree), sort_keys=True), encoding="utf-8")
            threads = max(1, (os.cpu_count() or 1) // self.jobs - (run.config.data.workers if self.jobs == 1 else 0))
            arguments = ["--config-file", str(run.folder / SETTINGS_FILE), *pairs]
            process = self.start(arguments, run.folder / LOG_FILE, threads)
        except (OSError, CCAFLError) as error:
            self._stop_if_unusable(error)
            self._fail(run, " ".join(str(error).split()))
            return
        self.report(f"[{self._place(run)}] start  {run.name}{how}")
        self._running[run.digest] = (run, process, time.monotonic())

    def _reap(self) -> None:
        for digest, (run, process, started) in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[digest]
            if code == 0 and is_finished(run):
                content = results.read(run.folder) or {}
                scores: dict[str, float] = next(iter(content["scores"].values()), {})
                shown = ", ".join(f"{name} {scores[name]:.1%}" for name in ("mAP", "rank1") if name in scores)
                seconds = _duration(time.monotonic() - started)
                self.report(f"[{self._place(run)}] done   {run.name}: {shown} in {seconds}{self._time_left()}")
                self._keep(run)
            else:
                self._fail(run, last_line(run.folder / LOG_FILE, code))

    def _fail(self, run: Run, reason: str) -> None:
        self.failures[run.name] = reason
        try:
            if run.folder.is_dir():
                note(run, failure=reason)
        except OSError as error:
            self._stop_if_unusable(error)
        self.report(f"[{self._place(run)}] FAILED {run.name}: {reason}")

    def _stop_if_unusable(self, error: Exception) -> None:
        """Stops the suite if its folder cannot be written: no run could leave anything there.

        Raises:
            CCAFLError: the disk is full, or the folder is not writable.
        """
        if isinstance(error, OSError) and error.errno in NO_WRITING:
            where = error.filename or (self.plan.runs[0].folder if self.plan.runs else "")
            raise CCAFLError(
                f"--out: {str(where)!r} can't be written: {(error.strerror or str(error)).lower()}. Free some space, "
                "or name another folder; the same command goes on."
            ) from error

    def _place(self, run: Run) -> str:
        width = len(str(self.total))
        return f"{self.plan.runs.index(run) + 1:{width}}/{self.total}"

    def _report_now_and_then(self, every: float = 60.0) -> None:
        if self._running and time.monotonic() - self._last_report >= every:
            self._last_report = time.monotonic()
            states = [f"{run.name} (epoch {epochs_done(run)}/{run.config.train.max_epoch})"
                      for run, _, _ in self._running.values()]  # fmt: skip
            self.report(f"running: {'; '.join(states)}{self._time_left()}")

    def _time_left(self) -> str:
        """Estimates the time left from the epochs that all processes have finished since the start."""
        done = left = 0
        for run in self._session:
            if run.name in self.failures:
                continue
            first = run.branch_epoch if run.source is not None else 0
            before = max(self._epochs_at_start[run.digest], first)
            now = run.config.train.max_epoch if self._is_finished(run) else max(epochs_done(run), before)
            done += now - before
            left += run.config.train.max_epoch - now
        if not left:
            return ""
        if not done:
            return "; time left is not known yet"
        return f"; about {_duration((time.monotonic() - self._started) * left / done)} left"


def last_line(log: Path, code: int) -> str:
    """The reason why a process ended: its last line of output, or its exit status."""
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        lines = []
    if code < 0:
        return f"ended by signal {-code}"
    return next((line for line in reversed(lines) if line), f"exit status {code}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
