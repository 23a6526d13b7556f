from __future__ import annotations

from pathlib import Path

import pytest

from ccafl_plugin.data import synthetic


@pytest.fixture(scope="session")
def synthetic_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root in which the tiny benchmark has been rendered. Not to be written into."""
    root = tmp_path_factory.mktemp("data_root")
    synthetic.ensure(root, "tiny", 1)
    return root
