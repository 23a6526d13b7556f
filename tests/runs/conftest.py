"""A finished run that several files of tests resume, copy and compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.small_commands import train


@pytest.fixture(scope="session")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs; to be copied, not written."""
    folder = tmp_path_factory.mktemp("trained") / "log"
    assert train(pictures, folder, "train.max_epoch", "2") == 0
    return folder
