"""All tests of this folder once more with torchreid in upstream's layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layouts_torchreid import make_upstream_layout, python


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_upstream_layout(tmp_path_factory.mktemp("upstream"))


def test_upstreams_layout_is_what_it_should_be(upstream):
    code = (
        "import torchreid, importlib.util as u; from torchreid.utils import FeatureExtractor;"
        "print(torchreid.__version__, torchreid.__file__, u.find_spec('torchreid.reid'), torchreid.data.__name__)"
    )
    finished = python("-W", "ignore", "-c", code, first_on_path=upstream)
    assert finished.stdout.split() == ["1.4.0", str(upstream / "torchreid" / "__init__.py"), "None", "torchreid.data"]


def test_the_whole_integration_in_upstreams_layout(upstream):
    here = Path(__file__)
    finished = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", str(here.parent), f"--ignore={here}", first_on_path=upstream
    )
    assert finished.returncode == 0, finished.stdout[-20_000:] + finished.stderr[-2_000:]
    assert "passed" in finished.stdout
