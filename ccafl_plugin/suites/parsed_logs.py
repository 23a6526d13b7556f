"""Reads results from the logs that torchreid's main script and ``ccafl-train`` write into a run's folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torchreid
import yaml

from ccafl_plugin.config.tree import default_config
from ccafl_plugin.metrics.complexity import retrieval_complexity
from ccafl_plugin.runs import results
from ccafl_plugin.runs.opening_lines import SETTINGS, VERSIONS
from ccafl_plugin.suites.outcomes import Outcomes, Results
from ccafl_plugin.suites.suite import Dataset, Row, Suite
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.provenance import digest_of

LOGS = ("train.log-*", "test.log-*")


def read_logs(folder: str | Path) -> Outcomes:
    """Collects every run below a folder.

    If a folder has a ``results.json``, it is read. Otherwise the newest log with a finished test is read. Runs whose
    settings differ only in the seed are one row.

    Args:
        folder: a folder that contains folders of runs, at any depth.

    Returns:
        One row per setting, with the name of its folder, without a ``seed-N`` at the end. If a row has several folders,
        or another name than its folder, its folders are listed below the table.

    Raises:
        CCAFLError: there is no finished run.
    """
    folder = Path(folder)
    found: dict[tuple[str, str, int], Results] = {}
    names: dict[tuple[str, str], str] = {}
    datasets: dict[str, Dataset] = {}
    places: dict[str, list[str]] = {}
    for run in sorted({file.parent for pattern in (results.FILE, *LOGS) for file in folder.rglob(pattern)}):
        content = results.read(run) or _newest(run)
        if content is None:
            continue
        if fault := results.fault_of(content):
            raise CCAFLError(f"--parse: the results in {str(run)!r} can't be used: {fault}; mend or remove them.")
        dataset = Dataset(tuple(content["sources"]), tuple(content["targets"]))
        settings = {key: value for key, value in content["settings"].items() if key not in _OF_THE_COLUMNS}
        path = run.relative_to(folder)
        name = re.sub(r"/?seed[-_]?\d+$", "", str(path)) or folder.name
        name = names.setdefault((digest_of(settings), ""), name)
        taken = [other for (other, place, seed) in found if (place, seed) == (dataset.name, content["seed"])]
        name = str(path) if name in taken else name
        datasets[dataset.name] = dataset
        found[name, dataset.name, content["seed"]] = content
        places.setdefault(name, []).append(str(path))
    if not found:
        raise CCAFLError(f"--parse: no finished run below {str(folder)!r}: expected {results.FILE} or {LOGS[0]}.")
    rows = tuple(Row(name, folder, note=_places(name, places[name])) for name in places)
    seeds = tuple(sorted({seed for _, _, seed in found}))
    suite = Suite(
        folder.name, f"Runs below {folder}", rows, seeds, tuple(datasets.values()), columns=("model", "model_zoo")
    )
    return Outcomes(suite, found)


def _places(name: str, folders: list[str]) -> str:
    """The folders of a row, if its name is not the folder's name."""
    return "" if folders == [name] else f"from {', '.join(folders)}"


_OF_THE_COLUMNS = ("train.seed", "data.sources", "data.targets")
"""Settings in which the runs of one row may differ."""


def _newest(run: Path) -> Results | None:
    logs = sorted((file for pattern in LOGS for file in run.glob(pattern)), key=lambda file: file.stat().st_mtime)
    for log in reversed(logs):
        content = parse_log(log.read_text(encoding="utf-8", errors="replace"))
        if content is not None:
            return content
    return None


def parse_log(text: str) -> Results | None:
    """The results in one log; None if the log has no finished test.

    Args:
        text: the output of torchreid's ``scripts/main.py`` or of ``tools/train.py``.
    """
    config = _configuration(text)
    scores = {name: found for name, block in _tests(text) if (found := results.parse_scores(block))}
    if config is None or not scores:
        return None
    defaults = dict(results.setting_leaves(default_config()))
    settings = {
        key: value
        for key, value in sorted(config.items())
        if key not in results.WITHOUT_EFFECT and (value or "") != (defaults.get(key) or "")
    }
    leaves = {**defaults, **config}
    return {
        "scores": scores,
        "association": [],
        "camera_probe": {},
        "training_seconds": _seconds(text),
        "epochs": leaves.get("train.max_epoch"),
        "seed": leaves.get("train.seed", 1),
        "sources": leaves["data.sources"],
        "targets": leaves["data.targets"],
        "model": _model(leaves, text),
        "settings": settings,
        "versions": _versions(text),
    }


def _configuration(text: str) -> dict[str, Any] | None:
    """Key -> value in a log. torchreid's logs show all settings, ours those that are not the defaults."""
    whole = re.search(r"^Show configuration\n(.*?)^Collecting env info", text, re.DOTALL | re.MULTILINE)
    changed = re.search(rf"^{SETTINGS}:\n(.*?)^$", text, re.DOTALL | re.MULTILINE)
    shown = whole or changed
    if shown is None:
        return None
    try:
        tree = yaml.safe_load(shown[1]) or {}
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return dict(results.setting_leaves(tree)) if isinstance(tree, dict) else None


def _versions(text: str) -> dict[str, str]:
    """Name -> version in a log. torchreid's logs name torch, ours all packages."""
    of_torch = re.search(r"^PyTorch version: (\S+)", text, re.MULTILINE)
    ours = re.search(rf"^{VERSIONS}(.+)$", text, re.MULTILINE)
    if ours is not None:
        return dict(part.split(" ", 1) for part in ours[1].split(", "))
    return {"torch": of_torch[1]} if of_torch else {}


def _seconds(text: str) -> float | None:
    """Seconds of the last run in a log, including its tests; None for a run that only tests."""
    printed = re.findall(r"^Elapsed (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)$", text, re.MULTILINE)
    if not printed:
        return None
    return float(sum(int(part or 0) * size for part, size in zip(printed[-1], (86400, 3600, 60, 1), strict=True)))


def _tests(text: str) -> Iterator[tuple[str, str]]:
    """(target, output of its test), in the order of the log."""
    parts = re.split(r"^##### Evaluating (\S+) \(\w+\) #####$", text, flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _model(leaves: dict[str, Any], text: str) -> dict[str, Any]:
    """Facts about the model. Its complexity is counted in a new model; if it cannot be built, it comes from the log."""
    name, height, width = (leaves[key] for key in ("model.name", "data.height", "data.width"))
    try:
        built = torchreid.models.build_model(name, num_classes=1, loss="softmax", pretrained=False, use_gpu=False)
        complexity = retrieval_complexity(built, height, width)._asdict()
    except (KeyError, RuntimeError, ValueError, TypeError):
        printed = re.search(r"^Model complexity: params=([\d,]+) flops=([\d,]+)", text, re.MULTILINE)
        numbers = [int(number.replace(",", "")) for number in printed.groups()] if printed else []
        complexity = dict(zip(("parameters", "multiply_adds"), numbers, strict=False))
    return {
        "name": name,
        **complexity,
        "loss": leaves["loss.name"],
        "input": [height, width],
        "transforms": leaves["data.transforms"],
        "distance": leaves["test.dist_metric"],
    }
