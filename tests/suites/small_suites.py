"""Suites of tiny runs, and ways to start them without the seconds that a new interpreter takes."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.runs.results import FILE
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.suites.run_plan import Plan, make_plan
from ccafl_plugin.suites.suite import Suite
from ccafl_plugin.suites.suite_file import load_suite

BASE = {
    "model": {"name": "clip_tiny", "pretrained": False},
    "use_gpu": False,
    "data": {"height": 64, "width": 32, "workers": 0, "transforms": ["random_flip"]},
    "sampler": {"train_sampler": "ProxySampler", "num_instances": 2},
    "train": {"batch_size": 8, "max_epoch": 3, "print_freq": 1, "stepsize": [2], "lr_scheduler": "multi_step"},
    "loss": {"name": "ccafl"},
    "test": {"dist_metric": "cosine"},
    "ccafl": {
        "iters_per_epoch": 2,
        "stage1": {"epochs": 1},
        "terms": {
            "icdl": {"last_epoch": 0},
            "inter": {"first_epoch": 1},
            "alignment": {"first_epoch": 1},
            "ical": {"first_epoch": 2},
        },
    },
}
"""Three epochs of two iterations; every term is active in one of them."""

NO_ICAL = {"ccafl.terms.ical.enabled": False}


def write_suite(folder: Path, **content: Any) -> Path:
    """``folder/suite.yaml`` with a base configuration beside it."""
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    file = folder / "suite.yaml"
    file.write_text(yaml.safe_dump({"config": "base.yaml", **content}, sort_keys=False))
    return file


def planned(folder: Path, root: Path | None = None, **content: Any) -> tuple[Suite, Plan]:
    """A suite and its plan; the runs' folders lie in ``folder/out``."""
    suite = load_suite(write_suite(folder, **content))
    return suite, make_plan(suite, folder / "out", None if root is None else str(root))


class Forked:
    """A forked process; it has the methods of the runner's processes."""

    def __init__(self, function: Callable[[], int], log: Path) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            with open(log, "a", encoding="utf-8") as stream:
                sys.stdout = sys.stderr = stream
                try:
                    code = function()
                except BaseException:
                    traceback.print_exc()
                stream.flush()
            os._exit(code)  # no clean-up handlers of the parent, pytest's among them

    def poll(self) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def stop(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def forked(arguments: Sequence[str], log: Path, threads: int) -> Forked:
    """Starts the real training in a forked process."""
    return Forked(lambda: main(arguments), log)


class Pretender:
    """Starts nothing: a "run" writes its results at once, or after the given number of looks.

    Args:
        score: mAP by (row, seed).
        looks: how often a process is found running before it has ended.
        fails: rows that print a line and fail.
    """

    def __init__(
        self, score: Callable[[str, int], float] | None = None, looks: int = 0, fails: Sequence[str] = ()
    ) -> None:
        self.score = score or (lambda row, seed: 0.5)
        self.looks = looks
        self.fails = fails
        self.started: list[tuple[str, int, dict[str, Any]]] = []
        self.alive = 0
        self.most_alive = 0
        self.threads: set[int] = set()

    def __call__(self, arguments: Sequence[str], log: Path, threads: int) -> Any:
        noted = json.loads((log.parent / "run.json").read_text())
        given = dict(zip(arguments[2::2], map(yaml.safe_load, arguments[3::2]), strict=True))
        self.started.append((noted["row"], noted["seed"], given))
        self.threads.add(threads)
        self.alive += 1
        self.most_alive = max(self.alive, self.most_alive)
        return _Pretended(self, log.parent, noted, given)


class _Pretended:
    def __init__(self, owner: Pretender, folder: Path, noted: dict[str, Any], given: dict[str, Any]) -> None:
        self.owner, self.folder, self.noted, self.given = owner, folder, noted, given
        self.left = owner.looks
        self.code: int | None = None

    def poll(self) -> int | None:
        self.left -= 1
        if self.left >= 0 or self.code is not None:
            return self.code
        self.owner.alive -= 1
        if self.noted["row"] in self.owner.fails:
            (self.folder / "console.log").write_text("Traceback ...\nerror: no luck\n\n")
            self.code = 1
            return 1
        for epoch in self.given.get("ccafl.keep_epochs", []):
            (self.folder / checkpoints.MANIFEST.format(epoch)).write_text("{}")
        write_results(self.folder, self.noted["digest"], self.owner.score(self.noted["row"], self.noted["seed"]))
        self.code = 0
        return 0

    def stop(self) -> None:
        self.code = -15

    def wait(self) -> None:
        pass


def write_results(folder: Path, digest: str, score: float, **facts: Any) -> None:
    """A ``results.json`` such as a run leaves behind."""
    content = {
        "scores": {"market1501": {"mAP": score, "rank1": score + 0.1, "rank5": score + 0.2}},
        "association": [{"epoch": 1, "precision": 0.25, "recall": 0.5}, {"epoch": 2, "precision": 0.75, "recall": 1}],
        "camera_probe": {},
        "training_seconds": 90.0,
        "epochs": 3,
        "sources": ["market1501"],
        "training_set": {"images": 40, "people": 5, "cameras": 3, "proxies": 15},
        "test_sets": {"market1501": {"folder": "market1501/v15", "queries": 6, "gallery": 12}},
        "model": {
            "name": "clip_tiny",
            "parameters": 576921,
            "multiply_adds": 19860480,
            "loss": "ccafl",
            "input": [64, 32],
            "transforms": ["random_flip", "pad_crop"],
            "distance": "cosine",
        },
        "settings": {},
        "config_digest": digest,
        "code_digest": "c0de",
        "versions": {"ccafl_plugin": "0.1.0", "torch": "2.15.0", "torchreid": "0.2.5", "python": "3.11.4"},
        "machine": {"device": "a processor", "cores": 2, "threads": 1},
        **facts,
    }
    (folder / FILE).write_text(json.dumps(content))
