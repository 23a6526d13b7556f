"""torchreid's warning about its Cython evaluation, which ours stands in for."""

from __future__ import annotations

import sys

import pytest

from tests.layouts_torchreid import python

WARNING = "warnings.warn('Cython evaluation (very fast so highly recommended) is unavailable')"
CHILD = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {'import warnings; ' + WARNING!r}], check=True)"


def test_our_commands_never_print_it_whatever_is_imported_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do processes that they start; a plain import does, or this would show nothing."""
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)  # a command that another test called here has set it
    plain = python("-c", f"{CHILD}; import torchreid").stderr
    assert plain.count("Cython evaluation (very fast so highly recommended) is unavailable") >= 2
    run = python("-c", f"import ccafl_train, torchreid, ccafl_plugin; {CHILD}")
    assert run.returncode == 0, run.stderr
    assert "Cython" not in run.stderr
