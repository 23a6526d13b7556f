"""torchreid's warning about its Cython evaluation, which ours stands in for."""

from __future__ import annotations

import sys

import pytest

from tests.layouts_torchreid import python

CHILD = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'import torchreid'], check=True)"


def test_our_commands_never_print_it_whatever_is_imported_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do processes that they start; a plain import does, or this would show nothing."""
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)  # a command that another test called here has set it
    assert "Cython evaluation" in python("-c", "import torchreid").stderr
    run = python("-c", f"import ccafl_train, torchreid, ccafl_plugin; {CHILD}")
    assert run.returncode == 0, run.stderr
    assert "Cython" not in run.stderr
