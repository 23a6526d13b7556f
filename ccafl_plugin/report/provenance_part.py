"""Configuration, versions and code of each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ccafl_plugin.report.page_blocks import Details, Panel, Section, Table
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.runs.results import setting_leaves

NOT_SAID = "not recorded"


def overview_section(runs: Sequence[RecordedRun]) -> Section:
    """What the runs are, in one table, and what is missing in their folders."""
    facts = {run.path: facts_of(run) for run in runs}
    names = list(dict.fromkeys(name for found in facts.values() for name in found))
    rows = [[name, *(facts[run.path].get(name, "") for run in runs)] for name in names]
    header = ["", *(run.name for run in runs)] if len(runs) > 1 else []
    section = Section("overview", "Overview", shared=[Table(header, rows, words=True)] if rows else [])
    section.panels = [Panel(run.name, missing=list(run.missing)) for run in runs]
    return section


def facts_of(run: RecordedRun) -> dict[str, str]:
    """What a run is, in words, by name."""
    found = {}
    model = run.of_results("model")
    name = model.get("name") or (run.config.model.name if run.config is not None else "")
    if name:
        size = f", {model['parameters'] / 1e6:.1f} M parameters" if isinstance(model.get("parameters"), int) else ""
        found["model"] = f"{name}{size}"
    if run.config is not None:
        found["input"] = f"{run.config.data.height} x {run.config.data.width} pixels"
        found["loss"] = str(model.get("loss") or run.config.loss.name)
        found["data"] = data_words(run)
    elif model.get("loss"):
        found["loss"] = str(model["loss"])
    if run.config is not None or run.results or run.manifest:
        found["epochs"] = epoch_words(run)
    seed = run.results.get("seed", run.config.train.seed if run.config is not None else None)
    if isinstance(seed, int):
        found["seed"] = str(seed)
    seconds = run.results.get("training_seconds") or (run.manifest.get("history") or {}).get("seconds")
    if isinstance(seconds, (int, float)) and seconds > 0:
        found["training time"] = f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
    if device := run.of_results("machine").get("device"):
        found["machine"] = str(device)
    if finished := run.results.get("finished"):
        found["finished"] = str(finished)[:16].replace("T", " ")
    return found


def data_words(run: RecordedRun) -> str:
    """The training set in words."""
    counts = run.of_results("training_set")
    sources = ", ".join(run.config.data.sources) if run.config is not None else ""
    numbers = [
        f"{counts[key]:,} {key}"
        for key in ("images", "people", "cameras", "proxies")
        if isinstance(counts.get(key), int)
    ]
    return ": ".join(filter(None, [sources, ", ".join(numbers)]))


def epoch_words(run: RecordedRun) -> str:
    """How far a run is."""
    if run.is_finished:
        return f"{run.epochs or run.finished_epochs}"
    return f"{run.finished_epochs} of {run.epochs or '?'}, not finished"


def configuration_section(runs: Sequence[RecordedRun]) -> Section:
    """Settings that are not the defaults, side by side; the whole configuration and versions of each run."""
    section = Section(
        "configuration",
        "Configuration and versions",
        "Settings that are not the defaults; the whole list is folded away.",
    )
    keys = sorted({key for run in runs for key in run.settings})
    if keys:
        rows = [[key, *(_value(run.settings.get(key, "(default)")) for run in runs)] for key in keys]
        section.shared.append(Table(["setting", *_heads(runs)], rows, words=True))
    rows = version_rows(runs)
    if rows:
        section.shared.append(Table(["version", *_heads(runs)], rows, words=True))
    for run in runs:
        panel = Panel(run.name)
        if run.config is not None:
            leaves = [[key, _value(value)] for key, value in sorted(setting_leaves(run.config))]
            panel.blocks.append(Details("Every setting", Table([], leaves, words=True)))
        section.panels.append(panel)
    return section


def version_rows(runs: Sequence[RecordedRun]) -> list[list[str]]:
    """Versions of packages, commit and digests of the code."""
    facts: list[dict[str, Any]] = []
    for run in runs:
        versions = run.of_results("versions") or run.manifest.get("versions")
        code = run.results.get("code_digest") or ((run.manifest.get("history") or {}).get("code") or [""])[0]
        known = bool(run.results or run.manifest)
        facts.append(
            {
                **(versions if isinstance(versions, dict) else {}),
                **(
                    {"git commit": run.results.get("git_commit") or NOT_SAID, "digest of the code": code}
                    if known
                    else {}
                ),
            }
        )
    names = list(dict.fromkeys(name for found in facts for name in found))
    return [[name, *(str(found.get(name, "")) for found in facts)] for name in names]


def _heads(runs: Sequence[RecordedRun]) -> list[str]:
    return [run.name for run in runs] if len(runs) > 1 else [""]


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "(empty)"
    return str(value) if value != "" else "(empty)"
