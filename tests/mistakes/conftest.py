"""One warm process: ``ccafl-train`` is called here, on small folders, and every mistake is one line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torchreid

from ccafl_plugin.runs.train_command import main
from tests.counts import counter
from tests.layouts import write_market1501

SMALL = (
    *("model.name", "clip_tiny", "model.pretrained", "False", "loss.name", "ccafl", "use_gpu", "False"),
    *("data.height", "32", "data.width", "16", "data.workers", "0", "train.max_epoch", "1"),
    *("sampler.train_sampler", "ProxySampler", "sampler.num_instances", "2", "train.batch_size", "8"),
    *("ccafl.iters_per_epoch", "1", "ccafl.stage1.epochs", "1", "test.dist_metric", "cosine"),
    *("ccafl.terms.inter.first_epoch", "0", "ccafl.terms.alignment.first_epoch", "0"),
    *("ccafl.terms.ical.first_epoch", "0", "ccafl.terms.proxy_classifier.first_epoch", "0"),
)
"""Settings of a run of a second; pairs behind them win."""

Refused = Callable[..., str]
"""Calls the command and gives its one line; see :func:`refused`."""


@pytest.fixture
def count() -> Counter[str]:
    """Tests add to it by what they have tried."""
    return counter("mistakes, each one line that names it")


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a sound Market-1501; to be read only."""
    root = tmp_path_factory.mktemp("sound")
    write_market1501(root, identities=4, cameras=2, images=2, test_identities=3)
    return root


def snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below folders; logs and the new configuration of a run apart."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for folder in folders
        for path in folder.rglob("*")
        if not path.is_dir() and not re.match(r"(train|test)\.log-|(test_)?(config\.yaml|system\.txt)$", path.name)
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The folder of a run, in which an earlier one has left its results."""
    folder = tmp_path / "log"
    (folder / "model").mkdir(parents=True)
    for name in ("checkpoint-1.json", "model/model.pth.tar-1", "results.json"):
        (folder / name).write_text("of an earlier run", encoding="utf-8")
    return folder


@pytest.fixture
def refused(
    market: Path, log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Calls ``ccafl-train`` with a mistake.

    Asserts an exit code of 1 or 2, one line on standard error that begins with ``error: `` and holds ``names``, no
    traceback anywhere, and that neither the data nor an earlier run's files have changed. Gives the line.
    """
    monkeypatch.setattr(torchreid.utils, "collect_env_info", lambda: "")  # a second each, and no part of this

    def run(names: str, *arguments: str, root: Path | None = market, first: tuple[str, ...] = ()) -> str:
        folders = [log] if root is None else [log, root]
        before = snapshot(*folders)
        start = [*first, *([] if root is None else ["--root", str(root)]), "--"]
        code = main([*start, *SMALL, "data.save_dir", str(log), *arguments])
        printed = capsys.readouterr()
        assert code in (1, 2), printed.out[-2000:]
        assert re.fullmatch(r"error: [^\n]+\n", printed.err), printed.err
        assert "Traceback" not in printed.out
        assert names in printed.err, printed.err
        assert len(printed.err) < 1500, printed.err
        assert "Nobody has foreseen" not in printed.err, printed.err
        assert before.items() <= snapshot(*folders).items()
        return printed.err

    return run
