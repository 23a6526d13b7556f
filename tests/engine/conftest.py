from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.small_runs import write_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root in Market-1501's layout: six identities in three cameras."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))
