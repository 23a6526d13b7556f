"""What several files of tests share: a folder of pictures, the command, and a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ccafl_plugin.runs.train_command import main
from tests.layouts import write_dukemtmcreid, write_market1501
from tests.runs.small_commands import SMALL, train


@pytest.fixture(scope="session")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs; to be copied, not written."""
    folder = tmp_path_factory.mktemp("trained") / "log"
    assert train(pictures, folder, "train.max_epoch", "2") == 0
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    write_market1501(root, identities=6, cameras=3, images=3, test_identities=12)
    write_dukemtmcreid(root, identities=5, cameras=2, images=2, test_identities=12)
    return root


@pytest.fixture
def command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs ``ccafl-train`` in this process: exit code, standard output, standard error."""

    def run(*arguments: str, first: tuple[str, ...] = ()) -> tuple[int, str, str]:
        start = [*first, "--root", str(root)] if "--root" not in first else list(first)
        code = main([*start, *SMALL, "data.save_dir", str(tmp_path / "log"), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
