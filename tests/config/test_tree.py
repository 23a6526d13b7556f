"""The keys that follow from what is registered."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
import yaml

from ccafl_plugin.association import ASSOCIATIONS, associate
from ccafl_plugin.config import load_config
from ccafl_plugin.config.arguments import engine_arguments
from ccafl_plugin.utils.errors import CCAFLError


@pytest.mark.parametrize("name", sorted(ASSOCIATIONS))
def test_every_association_is_chosen_by_name_and_gets_its_options(name: str, tmp_path: Path) -> None:
    """Through a file with the whole tree, as a run writes it, too."""
    config = load_config(None, ["ccafl.association.name", name])
    options = list(inspect.signature(ASSOCIATIONS[name]).parameters)[2:]
    assert list(config.ccafl.association[name]) == options
    (tmp_path / "whole.yaml").write_text(config.dump())
    arguments = engine_arguments(load_config(tmp_path / "whole.yaml"))
    assert arguments["association"] == name
    assert list(arguments["association_options"]) == options
    features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    pseudo = associate(features, torch.arange(8) % 2, name, **arguments["association_options"])
    assert torch.equal(pseudo, associate(features, torch.arange(8) % 2, name))


def plain(features: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
    """An association without options."""
    return torch.full_like(cameras, -1)


def test_an_association_without_options_is_an_empty_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ASSOCIATIONS, "plain", plain)
    assert yaml.safe_load(load_config().dump())["ccafl"]["association"]["plain"] == {}
    with pytest.raises(CCAFLError, match=r"^config key: 'ccafl.association.plain.rate' is not available"):
        load_config(None, ["ccafl.association.plain.rate", "1.7"])
    with pytest.raises(CCAFLError, match=r"^ccafl.association.plain: has no keys to set, found 1\.7\.$"):
        load_config(None, ["ccafl.association.plain", "1.7"])


def test_a_node_without_keys_may_stand_empty_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ASSOCIATIONS, "plain", plain)
    (tmp_path / "own.yaml").write_text("ccafl: {association: {name: plain, plain: {}}}\n")
    assert load_config(tmp_path / "own.yaml").ccafl.association.name == "plain"
