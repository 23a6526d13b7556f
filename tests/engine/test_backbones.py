"""Every backbone of torchreid: built by default, six of them trained; with -m slow all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccafl_plugin.engine.model_outputs import promised_outputs
from tests.engine.backbones import build, documented, measure, names, train

TRAINED = ("resnet18", "mobilenetv2_x1_0", "shufflenet_v2_x0_5", "osnet_ain_x0_25", "hacnn", "pcb_p4")
"""Six families: with and without a ``feature_dim`` of their own, with branches, with several classifiers."""


def test_every_backbone_stands_in_the_document() -> None:
    assert list(documented()) == names()


@pytest.mark.parametrize("name", names())
def test_every_backbone_is_built_and_its_feature_known(name: str) -> None:
    row = documented()[name]
    assert promised_outputs(build(name), row.height, row.width) == (row.feature_dim, True)


@pytest.mark.parametrize("name", TRAINED)
def test_two_iterations(name: str, pictures: Path) -> None:
    row = documented()[name]
    feature_dim, printed = train(name, pictures, row.height, row.width)
    assert feature_dim == row.feature_dim
    assert f"Done, obtained 18-by-{feature_dim} matrix" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_row_of_the_document(name: str, pictures: Path) -> None:
    assert measure(name, pictures) == documented()[name]
