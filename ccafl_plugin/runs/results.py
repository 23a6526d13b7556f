"""The results of a training run for tables: one ``results.json`` in ``data.save_dir``."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from ccafl_plugin.config.tree import default_tree
from ccafl_plugin.integration.camera_evaluation import CameraTest
from ccafl_plugin.metrics.camera_probe import camera_predictability
from ccafl_plugin.metrics.complexity import retrieval_complexity
from ccafl_plugin.options import options
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.files import write_text_whole
from ccafl_plugin.utils.peak_memory import peak_memory
from ccafl_plugin.utils.provenance import digest_of, git_commit, machine, versions
from ccafl_plugin.utils.trees import leaves

FILE = "results.json"

WITHOUT_EFFECT = (
    "data.root",
    "data.save_dir",
    "model.resume",
    "train.print_freq",
    "test.visrank",
    "test.visrank_topk",
    "ccafl.branch_from",
    "ccafl.save_text_encoder",
    "ccafl.licence",
    "ccafl.data.fitted_from",
    "ccafl.keep",
    "ccafl.keep_epochs",
)
"""Settings for paths and printed output; runs that differ only in these give equal results."""


def settings_of(config: CfgNode) -> dict[str, Any]:
    """The settings that are not the defaults and influence the results of a run.

    Only differences from the defaults are included, so a setting that a later version adds does not change old runs.

    Returns:
        Key -> value, sorted by key.
    """
    defaults = dict(setting_leaves(default_tree()))
    changed = {key: value for key, value in setting_leaves(config) if key not in defaults or defaults[key] != value}
    return {key: changed[key] for key in sorted(changed) if key not in WITHOUT_EFFECT}


def setting_leaves(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a configuration as (key with dots, value); tuples are lists, as in JSON."""
    for key, value in leaves(config):
        yield key, list(value) if isinstance(value, tuple) else value


def parse_scores(text: str) -> dict[str, float]:
    """The scores that are printed after a test, as shares (a printed 93.1 % is 0.931).

    Args:
        text: one block from ``** Results **`` on; of several, the last one's scores are given.

    Returns:
        ``mAP``, ``mINP`` and ``rank1``, ``rank5``, ... as far as they stand there.
    """
    scores = {f"rank{rank}": float(value) / 100 for rank, value in re.findall(r"Rank-(\d+)\s*: ([\d.]+)%", text)}
    means = {name: float(value) / 100 for name, value in re.findall(r"(mAP|mINP): ([\d.]+)%", text)}
    return {**means, **scores}


def summary(config: CfgNode, engine: Any, seconds: float) -> dict[str, Any]:
    """All facts about a finished run that tables need.

    Args:
        config: configuration of the run.
        engine: the engine after its run, from :func:`ccafl_plugin.runs.building.build_engine`.
        seconds: seconds of the process so far, including loading of data and tests.

    Returns:
        ``scores`` (per target dataset, shares in [0, 1]), ``camera_pairs`` (per target dataset mAP by cameras of query
        and gallery, null where no query counts, and how many count), ``association`` (per epoch), ``camera_probe`` (per
        target dataset; empty unless ``ccafl.camera_probe``), ``skipped_steps`` (per epoch that has some, because a
        gradient was not finite), ``training_seconds`` (stage 1 and all epochs, those before a resumption or a branch
        too; without tests), ``peak_memory`` (bytes of the host, of this process), ``model`` (as torchreid's model zoo
        describes one), ``effective_settings``, ``settings``, ``settings_history`` (the settings of each part of a run
        that was resumed with others; null where a checkpoint did not say), ``config_digest``, ``code_digest`` and
        ``earlier_code`` (of the processes that it goes on from), ``git_commit`` (of the checkout of the package;
        null outside one), ``versions``, ``machine``, ...
    """
    settings = settings_of(config)
    return {
        "scores": engine.results,
        "camera_pairs": engine.camera_pairs,
        "association": engine.history.association,
        "camera_probe": probe_cameras(engine, config.train.seed) if config.ccafl.camera_probe else {},
        "skipped_steps": engine.history.skipped_steps,
        "training_seconds": engine.history.training_seconds,
        "process_seconds": seconds,
        "peak_memory": peak_memory(),
        "epochs": config.train.max_epoch,
        "seed": config.train.seed,
        "sources": list(config.data.sources),
        "targets": list(config.data.targets),
        "model": _model(config, engine),
        "training_set": _training_set(engine, config.ccafl.data.ids == "across_cameras"),
        "test_sets": _test_sets(config, engine),
        "effective_settings": engine.history.effective_settings.as_dict(),
        "settings": settings,
        "settings_history": engine.history.settings_so_far(),
        "config_digest": config.ccafl.data.fitted_from or digest_of(settings),
        "branched_from": config.ccafl.branch_from,
        "versions": versions(),
        "code_digest": engine.history.code,
        "earlier_code": engine.history.earlier_code,
        "git_commit": git_commit() or None,
        "machine": machine(next(engine.model.parameters()).device),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def write(folder: str | Path, summary: Mapping[str, Any]) -> Path:
    """Writes ``folder/results.json`` atomically. NaN and infinity become null."""
    file = Path(folder) / FILE
    write_text_whole(file, json.dumps(_finite(summary), indent=2) + "\n")
    return file


def read(folder: str | Path) -> dict[str, Any] | None:
    """The results in a run's folder; None if there are none or the file cannot be read."""
    try:
        content = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def fault_of(content: Mapping[str, Any]) -> str:
    """What is wrong with results that tables are to be made of; empty if nothing is.

    Args:
        content: of a ``results.json``, which may come from anywhere, or of a log.
    """
    kinds: dict[str, tuple[type, ...]] = {
        "scores": (dict,),
        "settings": (dict,),
        "model": (dict,),
        "sources": (list, tuple),
        "targets": (list, tuple),
        "seed": (int,),
    }
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind) or isinstance(content.get(key), bool):
            return f"{key!r} is {'missing' if key not in content else repr(content[key])[:60]}"
    for key in ("sources", "targets"):
        if not all(isinstance(name, str) for name in content[key]):
            return f"{key!r} is {content[key]!r}, no list of names"
    for target, scores in content["scores"].items():
        flat = scores.values() if isinstance(scores, dict) else ["none"]
        if any(isinstance(number, str) for number in flat):
            return f"the scores of {target!r} are {scores!r}"[:90]
    return ""


def probe_cameras(engine: Any, seed: int) -> dict[str, dict[str, float]]:
    """How well a linear probe predicts the camera from the test features, and chance, per target dataset.

    Where the test takes cameras out of the features (``test.camera_normalization``), ``as_tested`` is the accuracy
    behind that; ``accuracy`` is always that of the model's own features.
    """
    engine.set_model_mode("eval")
    found = {}
    for name, loaders in engine.test_loader.items():
        if not len(loaders["query"].dataset):
            continue
        features, persons, cameras = _test_features(engine, [loaders["query"], loaders["gallery"]])
        found[name] = camera_predictability(features, cameras, persons, seed=seed)._asdict()
        if options.camera_normalization != "none":
            queries = len(loaders["query"].dataset)
            of_query, of_gallery = np.split(cameras.numpy(), [queries])
            test = CameraTest(engine, name, "")
            tested = torch.cat(test.without_cameras(features[:queries], features[queries:], of_query, of_gallery))
            found[name]["as_tested"] = camera_predictability(tested, cameras, persons, seed=seed).accuracy
    return found


@torch.no_grad()
def _test_features(engine: Any, loaders: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """(M, D) features on the CPU, (M,) persons and (M,) cameras."""
    device = next(engine.model.parameters()).device
    rows, persons, cameras = [], [], []
    for loader in loaders:
        for batch in loader:
            images, pids, camids = engine.parse_data_for_eval(batch)
            rows.append(engine.extract_features(images.to(device)).float().cpu())
            persons.append(torch.as_tensor(pids))
            cameras.append(torch.as_tensor(camids))
    return torch.cat(rows), torch.cat(persons), torch.cat(cameras)


def _model(config: CfgNode, engine: Any) -> dict[str, Any]:
    data = config.data
    complexity = retrieval_complexity(unwrap(engine.model), data.height, data.width)
    ccafl = config.loss.name == "ccafl"
    return {
        "name": config.model.name,
        **complexity._asdict(),
        "loss": " + ".join(term.name for term in engine.terms) if ccafl else config.loss.name,
        "input": [data.height, data.width],
        "transforms": list(data.transforms),
        "distance": config.test.dist_metric,
    }


def _test_sets(config: CfgNode, engine: Any) -> dict[str, dict[str, Any]]:
    """Per target dataset: the folder of its images below the data root (it shows the version) and their count."""
    found = {}
    for name, sets in engine.datamanager.test_dataset.items():
        query, gallery = ([entry[0] for entry in sets[part]] for part in ("query", "gallery"))
        if not query:
            continue
        folder = os.path.relpath(os.path.commonpath(query + gallery), os.path.expanduser(config.data.root))
        found[name] = {"folder": folder, "queries": len(query), "gallery": len(gallery)}
    return found


def _training_set(engine: Any, ids_hold_across: bool) -> dict[str, int]:
    """Counts of the training list; people are only counted if ids are valid across cameras."""
    train = engine.train_loader.dataset.train
    halves = getattr(engine.train_loader.dataset, "true_person", {})  # of proxies that were split on purpose
    people = {"people": len({(dsetid, halves.get(pid, pid)) for _, pid, _, dsetid in train})}
    return {
        "images": len(train),
        **(people if ids_hold_across else {}),
        "cameras": len({(dsetid, camid) for _, _, camid, dsetid in train}),
        "proxies": len({(dsetid, camid, pid) for _, pid, camid, dsetid in train}),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
