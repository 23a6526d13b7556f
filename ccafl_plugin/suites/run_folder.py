"""What lies in the folder of one run: its settings, its log, its checkpoints and its results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.runs import results
from ccafl_plugin.suites.results_file import ResultsFile
from ccafl_plugin.suites.run_plan import Run
from ccafl_plugin.utils.files import write_text_whole

RUN_FILE = "run.json"
SETTINGS_FILE = "settings.yaml"
LOG_FILE = "console.log"


def is_finished(run: Run) -> bool:
    """True if the run's folder holds the results of just these settings."""
    found = results.read(run.folder)
    return found is not None and found.get("config_digest") == run.digest and noted(run).get("digest") == run.digest


def results_of(run: Run, file: ResultsFile | None = None) -> dict[str, Any] | None:
    """The results of a finished run: from the file alone, or without one from its folder; None if there are none."""
    if file is not None:
        return file.find(run)
    return results.read(run.folder) if is_finished(run) else None


def failure_of(run: Run) -> str:
    """The last line of a run that failed the last time it was tried; empty: it didn't."""
    last = noted(run)
    return str(last.get("failure", "")) if last.get("digest") == run.digest and not is_finished(run) else ""


def checkpoint_of(run: Run, epoch: int) -> Path:
    """Where a run's checkpoint of so many epochs is, or would be."""
    return run.folder / checkpoints.MANIFEST.format(epoch)


def has_checkpoint(run: Run, epoch: int) -> bool:
    """Whether a run's folder has that checkpoint, and the folder is of just these settings."""
    return checkpoint_of(run, epoch).exists() and noted(run).get("digest") == run.digest


def epochs_done(run: Run) -> int:
    """How many epochs the newest checkpoint has; 0 without one."""
    found = checkpoints.manifests(run.folder)
    return checkpoints.epoch_of(found[-1]) if found else 0


def noted(run: Run) -> dict[str, object]:
    """What :func:`note` wrote; empty if nothing can be read."""
    try:
        content = json.loads((run.folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def note(run: Run, **facts: object) -> None:
    """Writes into the run's folder whose it is, and facts such as ``failure``."""
    content = {"row": run.row, "dataset": run.dataset, "seed": run.seed, "digest": run.digest, **facts}
    write_text_whole(run.folder / RUN_FILE, json.dumps(content, indent=2) + "\n")


def move_aside(run: Run, report: Callable[[str], None]) -> None:
    """A folder of other settings, or of nobody knows what, makes room; its checkpoints must not be gone on from."""
    if not run.folder.is_dir() or not any(run.folder.iterdir()) or noted(run).get("digest") == run.digest:
        return
    number = 1
    while (aside := run.folder.with_name(f"{run.folder.name}.old-{number}")).exists():
        number += 1
    run.folder.rename(aside)
    report(f"{run.name}: other settings than before; what was there is now in {aside}")
