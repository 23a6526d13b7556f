"""What the installation promises: bounds that are tried, configs that travel with the package."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import ccafl_plugin
from ccafl_plugin.config.shipped_files import configs_folder
from tests.layouts_torchreid import REPOSITORY


def declared() -> dict[str, Requirement]:
    """The requirements in setup.py."""
    block = (REPOSITORY / "setup.py").read_text().partition("install_requires=[")[2].partition("\n    ],")[0]
    parsed = map(Requirement, re.findall(r'^ +"([^"]+)",', block, re.MULTILINE))
    return {requirement.name: requirement for requirement in parsed}


def oldest() -> dict[str, Requirement]:
    """The constraints of the oldest set on Python 3.10 and 3.11."""
    lines = (REPOSITORY / ".ci" / "oldest.txt").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if not line.startswith("#")]
    return {
        pin.name: pin
        for pin in parsed
        if pin.marker is None or pin.marker.evaluate({"python_version": "3.11", "python_full_version": "3.11.0"})
    }


def test_every_lower_bound_is_tried_and_nothing_is_bounded_from_above():
    assert declared().keys() == oldest().keys()
    for name, requirement in declared().items():
        (bound,) = requirement.specifier
        (pin,) = oldest()[name].specifier
        assert (bound.operator, pin.operator) == (">=", "=="), name
        assert Version(bound.version) == Version(pin.version), name


def test_the_installation_is_of_this_version():
    assert version("ccafl_plugin") == ccafl_plugin.__version__
    assert requires("ccafl_plugin")


SCRIPTS = re.findall(r'"(ccafl-\w+) = (\w+):(\w+)"', (REPOSITORY / "setup.py").read_text())


@pytest.mark.parametrize(("script", "module", "function"), SCRIPTS)
def test_commands(script: str, module: str, function: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit, match="0"):
        getattr(importlib.import_module(module), function)()
    assert capsys.readouterr().out.startswith(f"usage: {script} ")


@pytest.mark.parametrize(
    "file", ["ccafl_train.py", *(f"tools/{name}.py" for name in ("train", "suite", "pretrain_clip"))]
)
def test_commands_quieten_openmp_before_torch_is_imported(file: str) -> None:
    program = (
        f"import os, runpy, sys; runpy.run_path({file!r}); print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert run.stdout == "PASSIVE False\n", run.stderr


@pytest.mark.parametrize("name", ["synthetic/ccafl_tiny.yaml", "market1501/ccafl_rn50.yaml"])
def test_configs_are_found(name):
    assert (configs_folder() / name).is_file()
