"""The folder of one run: its settings, its log, its checkpoints and its results."""

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
    """True if the run's folder has results of exactly these settings."""
    found = results.read(run.folder)
    return found is not None and found.get("config_digest") == run.digest and noted(run).get("digest") == run.digest


def results_of(run: Run, file: ResultsFile | None = None) -> dict[str, Any] | None:
    """The results of a finished run: from the file if one is given, else from its folder; None if there are none."""
    if file is not None:
        return file.find(run)
    return results.read(run.folder) if is_finished(run) else None


def failure_of(run: Run) -> str:
    """The last line of a run whose last attempt failed; empty if it did not fail."""
    last = noted(run)
    return str(last.get("failure", "")) if last.get("digest") == run.digest and not is_finished(run) else ""


def checkpoint_of(run: Run, epoch: int) -> Path:
    """Path of a run's checkpoint after a number of epochs; the file need not exist."""
    return run.folder / checkpoints.MANIFEST.format(epoch)


def has_checkpoint(run: Run, epoch: int) -> bool:
    """True if the run's folder has this checkpoint and belongs to exactly these settings."""
    return checkpoint_of(run, epoch).exists() and noted(run).get("digest") == run.digest


def epochs_done(run: Run) -> int:
    """Number of epochs in the newest checkpoint; 0 without a checkpoint."""
    found = checkpoints.manifests(run.folder)
    return checkpoints.epoch_of(found[-1]) if found else 0


def noted(run: Run) -> dict[str, object]:
    """The content that :func:`note` wrote; empty if it cannot be read."""
    try:
        content = json.loads((run.folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def note(run: Run, **facts: object) -> None:
    """Writes a file into the run's folder that identifies the run, with additional facts such as ``failure``."""
    content = {"row": run.row, "dataset": run.dataset, "seed": run.seed, "digest": run.digest, **facts}
    write_text_whole(run.folder / RUN_FILE, json.dumps(content, indent=2) + "\n")


def move_aside(run: Run, report: Callable[[str], None]) -> None:
    """Renames a folder that belongs to other or unknown settings; a run must not continue from its checkpoints."""
    if not run.folder.is_dir() or not any(run.folder.iterdir()) or noted(run).get("digest") == run.digest:
        return
    number = 1
    while (aside := run.folder.with_name(f"{run.folder.name}.old-{number}")).exists():
        number += 1
    run.folder.rename(aside)
    report(f"{run.name}: the settings have changed; the old folder is now {aside}")
