"""What the installation promises: bounds that are tried, configs that travel with the package."""

from __future__ import annotations

import re
from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import ccafl_plugin
from ccafl_plugin.resources import configs_folder
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


@pytest.mark.parametrize("name", ["synthetic/ccafl_tiny.yaml", "market1501/ccafl_rn50.yaml"])
def test_configs_are_found(name):
    assert (configs_folder() / name).is_file()
