"""All tests of this folder once more with torchreid in upstream's layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layouts_torchreid import make_upstream_layout, python

pytestmark = pytest.mark.early


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_upstream_layout(tmp_path_factory.mktemp("upstream"))


def test_the_whole_integration_in_upstreams_layout(upstream):
    here = Path(__file__)
    code = (
        "import importlib.util, pytest, sys, torchreid; from torchreid.utils import FeatureExtractor;"
        "print('layout:', torchreid.__version__, torchreid.__file__, importlib.util.find_spec('torchreid.reid'));"
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {str(here.parent)!r}, {f'--ignore={here}'!r}]))"
    )
    finished = python("-W", "ignore", "-c", code, first_on_path=upstream)
    output = finished.stdout[-20_000:] + finished.stderr[-2_000:]
    assert f"layout: 1.4.0 {upstream / 'torchreid' / '__init__.py'} None" in finished.stdout, output
    assert finished.returncode == 0, output
    assert " passed" in finished.stdout
